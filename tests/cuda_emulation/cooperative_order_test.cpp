// Whose turn it is in a grid whose blocks wait for each other, and which races that shows.
#include <cooperative_groups.h>

#include <set>

#include "tests/cuda_emulation/test_support.h"

namespace plumbline::cuda_emulation {
namespace {

namespace cg = cooperative_groups;

// What a neighbour wrote before it arrived is read between arriving and waiting, or after waiting.
__global__ void early_kernel(int* values, int* out, bool early) {
  const cg::grid_group grid = cg::this_grid();
  const unsigned next = (blockIdx.x + 1) % gridDim.x;
  values[blockIdx.x] = static_cast<int>(blockIdx.x);
  auto token = grid.barrier_arrive();
  int got = values[next];
  grid.barrier_wait(std::move(token));
  if (!early) got = values[next];
  out[blockIdx.x] = got;
}
// What is read after arriving is overwritten by others as soon as they have waited, or one barrier later.
__global__ void late_kernel(int* values, int* out, bool late) {
  const cg::grid_group grid = cg::this_grid();
  auto token = grid.barrier_arrive();
  out[blockIdx.x] = values[(blockIdx.x + 1) % gridDim.x];
  grid.barrier_wait(std::move(token));
  if (!late) grid.sync();
  values[blockIdx.x] = -1;
}

template <typename Kernel>
std::vector<int> result_of(Kernel kernel, bool racing, const std::pair<Order, unsigned>& order) {
  const Fresh fresh;
  set_device(5, order);
  int* values = on_device(std::vector<int>{10, 11, 12, 13, 14});
  int* out = on_device<int>(5);
  REQUIRE(run_cooperative({5, 1}, kernel, values, out, racing) == cudaSuccess);
  return from_device(out, 5);
}

TEST_CASE(
    "cuda emulation: what is read too early, or written too early, shows as another result in some order") {
  const std::vector<int> read{1, 2, 3, 4, 0}, kept{11, 12, 13, 14, 10};
  for (const auto& order : all_orders()) {
    CHECK(result_of(early_kernel, false, order) == read);
    CHECK(result_of(late_kernel, false, order) == kept);
  }
  const std::pair<Order, unsigned> up(Order::ascending, 1), down(Order::descending, 1);
  CHECK(result_of(early_kernel, true, up) != read);
  CHECK(result_of(late_kernel, true, down) != kept);
  CHECK(result_of(early_kernel, true, {Order::shuffled, 1}) != read);
  CHECK(result_of(late_kernel, true, {Order::shuffled, 1}) != kept);
}

__global__ void turns_kernel(int* turn, int* turns) {
  for (int phase = 0; phase < 3; ++phase) {
    turns[phase * static_cast<int>(gridDim.x) + atomicAdd(turn, 1) % static_cast<int>(gridDim.x)] =
        static_cast<int>(blockIdx.x);
    cg::this_grid().sync();
  }
}

// Which blocks ran one after the other, in three phases.
std::vector<std::vector<int>> turns(const std::pair<Order, unsigned>& order) {
  const Fresh fresh;
  set_device(6, order);
  int* out = on_device<int>(18);
  REQUIRE(run_cooperative({6, 1}, turns_kernel, on_device(std::vector<int>{0}), out) == cudaSuccess);
  const std::vector<int> all = from_device(out, 18);
  return {{all.begin(), all.begin() + 6}, {all.begin() + 6, all.begin() + 12}, {all.begin() + 12, all.end()}};
}

TEST_CASE("cuda emulation: blocks of a grid take turns in the order asked for, shuffled anew in each phase") {
  const std::vector<int> up{0, 1, 2, 3, 4, 5}, down{5, 4, 3, 2, 1, 0};
  CHECK(turns({Order::ascending, 1}) == std::vector<std::vector<int>>{up, up, up});
  CHECK(turns({Order::descending, 1}) == std::vector<std::vector<int>>{down, down, down});
  const std::vector<std::vector<int>> once = turns({Order::shuffled, 1});
  CHECK(once == turns({Order::shuffled, 1}));
  CHECK(once != turns({Order::shuffled, 2}));
  CHECK(std::set<std::vector<int>>(once.begin(), once.end()).size() == 3);
  for (const std::vector<int>& phase : once) CHECK(std::set<int>(phase.begin(), phase.end()).size() == 6);
}

}  // namespace
}  // namespace plumbline::cuda_emulation
