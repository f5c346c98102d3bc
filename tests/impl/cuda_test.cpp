// Where no device is, what can be checked on the host: the kernels' index arithmetic, and a clear refusal.
#include <algorithm>
#include <vector>

#include <catch2/catch.hpp>

#include "impl/cpu/engine.h"
#include "impl/cuda/engine.h"
#include "impl/cuda/index.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

class ResidualRecorder final : public ProbeSink {
 public:
  explicit ResidualRecorder(Engine& engine) : engine_(engine) {}
  std::vector<Tensor> sums;
  std::vector<Device> devices;
  Access access(const ProbeId& id) const override {
    const Probe probe = id.site.probe;
    return probe == Probe::attn_residual || probe == Probe::mlp_residual ? Access::read : Access::none;
  }
  void receive(const ProbeId&, const TensorView& view) override {
    devices.push_back(view.device);
    sums.push_back(engine_.to_host(view));
  }

 private:
  Engine& engine_;
};

}  // namespace

TEST_CASE("cuda: the grid visits every element once") {
  for (const std::int64_t count : {1, 255, 256, 257, 100'000, 65535 * 256 + 1000}) {
    const std::int64_t blocks = grid_blocks(count);
    CHECK(blocks <= kMaxBlocks);
    std::vector<unsigned char> visits(static_cast<std::size_t>(count));
    for (std::int64_t block = 0; block < blocks; ++block) {
      for (std::int64_t thread = 0; thread < kBlockThreads; ++thread) {
        for (std::int64_t i = first_element(block, thread); i < count; i += grid_stride(blocks)) {
          ++visits[static_cast<std::size_t>(i)];
        }
      }
    }
    CHECK(std::all_of(visits.begin(), visits.end(), [](unsigned char n) { return n == 1; }));
  }
  CHECK(grid_blocks(0) == 1);
}

TEST_CASE("cuda: without a usable device the engine says why; with one it has the CPU's bits") {
  const std::string problem = cuda_device_problem();
  if (!problem.empty()) {
    const std::string error = error_of([] { make_cuda_engine(tiny_model()); });
    CHECK_THAT(error, Catch::Contains(cuda_compiled() ? "no usable CUDA device" : "this build has no CUDA"));
    return;
  }
  const auto cuda = make_cuda_engine(tiny_model());
  const auto cpu = make_cpu_engine(tiny_model(), {});
  const auto ids = some_tokens(17, 1024, 1);
  ResidualRecorder on_device(*cuda), on_host(*cpu);
  const auto a = run(*cuda, *cuda->make_cache({}), ids, LogitsWanted::all, 0, on_device);
  const auto b = run(*cpu, *cpu->make_cache({}), ids, LogitsWanted::all, 0, on_host);
  CHECK(same_bits(a, b));
  REQUIRE(on_device.sums.size() == on_host.sums.size());
  for (std::size_t i = 0; i < on_device.sums.size(); ++i) {
    CHECK(on_device.devices[i].kind == DeviceKind::cuda);
    CHECK(same_bits(on_device.sums[i].values<float>(), on_host.sums[i].values<float>()));
  }
}
