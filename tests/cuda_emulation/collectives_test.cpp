// Warp collectives, intrinsics and atomics by the tables of the CUDA C++ Programming Guide.
#include <numeric>

#include "tests/cuda_emulation/test_support.h"

namespace plumbline::cuda_emulation {
namespace {

constexpr unsigned kAll = 0xffffffffu;

enum Kind { shfl, up, down, exclusive };

template <typename T>
__global__ void shuffle_kernel(T* out, int kind, int parameter, int width) {
  const T mine = static_cast<T>(threadIdx.x) + static_cast<T>(100);
  T got{};
  if (kind == shfl) got = __shfl_sync(kAll, mine, parameter, width);
  if (kind == up) got = __shfl_up_sync(kAll, mine, parameter, width);
  if (kind == down) got = __shfl_down_sync(kAll, mine, parameter, width);
  if (kind == exclusive) got = __shfl_xor_sync(kAll, mine, parameter, width);
  out[threadIdx.x] = got;
}

template <typename T>
void check_shuffle(int kind, int parameter, int width, const std::function<int(int lane)>& source) {
  for (const auto& [order, seed] : all_orders()) {
    const Fresh fresh;
    settings().order = order;
    settings().seed = seed;
    T* out = on_device<T>(64);
    REQUIRE(run({1, 64}, shuffle_kernel<T>, out, kind, parameter, width) == cudaSuccess);
    const std::vector<T> got = from_device(out, 64);
    for (int thread = 0; thread < 64; ++thread) {
      INFO("kind " << kind << " parameter " << parameter << " width " << width << " thread " << thread);
      CHECK(got[thread] == static_cast<T>(thread / 32 * 32 + source(thread % 32) + 100));
    }
  }
}

TEMPLATE_TEST_CASE("cuda emulation: shuffles read the lane that the guide says", "", float, double, int,
                   unsigned, long long, unsigned long long) {
  check_shuffle<TestType>(shfl, 5, 32, [](int) { return 5; });
  check_shuffle<TestType>(shfl, 33, 32, [](int) { return 1; });
  check_shuffle<TestType>(shfl, 3, 8, [](int lane) { return lane / 8 * 8 + 3; });
  check_shuffle<TestType>(up, 4, 32, [](int lane) { return lane < 4 ? lane : lane - 4; });
  check_shuffle<TestType>(up, 4, 8, [](int lane) { return lane % 8 < 4 ? lane : lane - 4; });
  check_shuffle<TestType>(down, 1, 32, [](int lane) { return lane == 31 ? lane : lane + 1; });
  check_shuffle<TestType>(down, 3, 16, [](int lane) { return lane % 16 > 12 ? lane : lane + 3; });
  check_shuffle<TestType>(exclusive, 16, 32, [](int lane) { return lane ^ 16; });
  check_shuffle<TestType>(exclusive, 1, 2, [](int lane) { return lane ^ 1; });
  // Beyond its group a lane may read an earlier one, not a later one.
  check_shuffle<TestType>(exclusive, 8, 8,
                          [](int lane) { return (lane ^ 8) > lane / 8 * 8 + 7 ? lane : lane ^ 8; });
}

__global__ void votes_kernel(unsigned* out) {
  const unsigned lane = threadIdx.x % 32;
  unsigned* mine = out + threadIdx.x * 4;
  mine[0] = __ballot_sync(kAll, lane % 3 == 0);
  mine[1] = static_cast<unsigned>(__any_sync(kAll, lane == 31));
  mine[2] = static_cast<unsigned>(__all_sync(kAll, lane < 31));
  if (lane < 8) {  // some lanes among themselves, twice as often as the others
    mine[3] = __ballot_sync(0xffu, lane != 2);
    mine[3] += static_cast<unsigned>(__all_sync(0xffu, 1));
  } else {
    mine[3] = static_cast<unsigned>(__any_sync(~0xffu, 0));
  }
  __syncwarp();
}

TEST_CASE("cuda emulation: votes count the lanes of their mask") {
  for (const auto& [order, seed] : all_orders()) {
    const Fresh fresh;
    settings().order = order;
    settings().seed = seed;
    auto* out = on_device<unsigned>(64 * 4);
    REQUIRE(run({1, 64}, votes_kernel, out) == cudaSuccess);
    const std::vector<unsigned> got = from_device(out, 64 * 4);
    for (int thread = 0; thread < 64; ++thread) {
      CHECK(got[thread * 4] == 0x49249249u);
      CHECK(got[thread * 4 + 1] == 1);
      CHECK(got[thread * 4 + 2] == 0);
      CHECK(got[thread * 4 + 3] == (thread % 32 < 8 ? 0xfbu + 1 : 0));
    }
  }
}

struct Totals {
  int sum, largest, least, bits, exchanged;
  unsigned long long wide;
};

__global__ void atomics_kernel(Totals* totals) {
  const int mine = static_cast<int>(threadIdx.x + blockIdx.x * blockDim.x);
  atomicAdd(&totals->sum, mine);
  atomicMax(&totals->largest, mine);
  atomicMin(&totals->least, -mine);
  atomicOr(&totals->bits, 1 << (mine % 20));
  atomicAdd(&totals->wide, 1ull << 33);
  atomicCAS(&totals->exchanged, 0, 77);
  atomicCAS(&totals->exchanged, 0, 78);
  __threadfence();
}

TEST_CASE("cuda emulation: atomics of whole numbers are the same in every order") {
  for (const auto& [order, seed] : all_orders()) {
    const Fresh fresh;
    settings().order = order;
    settings().seed = seed;
    Totals* totals = on_device(std::vector<Totals>(1));
    REQUIRE(run({3, 40}, atomics_kernel, totals) == cudaSuccess);
    const Totals got = from_device(totals, 1)[0];
    CHECK(got.sum == 119 * 120 / 2);
    CHECK(got.largest == 119);
    CHECK(got.least == -119);
    CHECK(got.bits == (1 << 20) - 1);
    CHECK(got.wide == 120ull << 33);
    CHECK(got.exchanged == 77);
  }
}

TEST_CASE("cuda emulation: intrinsics") {
  CHECK(__float_as_uint(1.0f) == 0x3f800000u);
  CHECK(__uint_as_float(0x40000000u) == 2.0f);
  CHECK(__int_as_float(__float_as_int(-3.5f)) == -3.5f);
  CHECK(__popc(0xf0f0u) == 8);
  CHECK(__clz(1) == 31);
  CHECK(__clz(0) == 32);
  CHECK(__ffs(0) == 0);
  CHECK(__ffs(8) == 4);
  CHECK(sizeof(float4) == 16);
  CHECK(alignof(float4) == 16);
  CHECK(alignof(float2) == 8);
  CHECK(make_int4(1, 2, 3, 4).w == 4);
}

}  // namespace
}  // namespace plumbline::cuda_emulation
