// The CUDA engine where something is missing or goes wrong: one line says so, and nothing stays on the
// device.
#include <catch2/catch.hpp>

#include "impl/cuda/engine.h"
#include "tests/cuda_emulation/emulation.h"
#include "tests/cuda_emulation/with_settings.h"
#include "tests/impl/cuda/engine_talk.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;
namespace emulation = plumbline::cuda_emulation;

namespace {

std::string refusal(const std::filesystem::path& model = tiny_model(), const CudaOptions& options = {}) {
  return error_of([&] { make_cuda_engine(model, options); });
}

}  // namespace

TEST_CASE("cuda engine: nothing of it stays on the device") {
  {
    const auto engine = make_cuda_engine(tiny_model(), {.storage = DType::bf16});
    talk(*engine, DType::bf16);
    CHECK(emulation::held().device_bytes > 0);
  }
  CHECK(emulation::held().device_bytes == 0);
  CHECK(emulation::held().pinned_bytes == 0);
  CHECK(emulation::held().streams == 0);
  CHECK(emulation::held().events == 0);
  CHECK(emulation::held().graphs == 0);
}

TEST_CASE("cuda engine: what is missing is said before anything is allocated") {
  const emulation::WithSettings restored;
  SECTION("a device") {
    emulation::settings().device_count = 0;
    CHECK_THAT(refusal(), Catch::Contains("no CUDA device is there"));
  }
  SECTION("a driver") {
    emulation::settings().driver_version = 0;
    CHECK_THAT(refusal(), Catch::Contains("no NVIDIA driver"));
  }
  SECTION("a newer driver") {
    emulation::settings().driver_version = 11080;
    CHECK_THAT(refusal(), Catch::Contains("CUDA 11.8") && Catch::Contains("needs"));
  }
  SECTION("kernels for its architecture") {
    emulation::settings().compute_major = 7;
    emulation::settings().compute_minor = 5;
    CHECK_THAT(refusal(), Catch::Contains("7.5") && Catch::Contains("CMAKE_CUDA_ARCHITECTURES=75"));
  }
  SECTION("memory") {
    emulation::settings().device_memory = 1 << 20;
    CHECK_THAT(refusal(), Catch::Contains("GiB of device memory in f32") && Catch::Contains("are free"));
    CHECK(emulation::held().device_bytes == 0);
  }
  SECTION("a storage dtype") {
    CHECK_THAT(refusal(tiny_model(), {.storage = DType::f16}), Catch::Contains("f16"));
  }
  SECTION("a head_dim") {
    const ScratchDirectory wide;
    write_random_model(wide,
                       R"({"model_type": "qwen2", "vocab_size": 11, "hidden_size": 8, "intermediate_size": 4,
      "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 130})",
                       1);
    CHECK_THAT(refusal(wide.path()), Catch::Contains("head_dim is 130"));
  }
  CHECK(emulation::held().device_bytes == 0);
}

TEST_CASE("cuda engine: a launch that fails names the kernel, and nothing stays behind") {
  const emulation::WithSettings restored;
  {
    const auto engine = make_cuda_engine(tiny_model(), {.decode = CudaDecode::launches});
    emulation::settings().fail_kernel = "rms_norm";
    const auto cache = engine->make_cache({});
    const std::string error = error_of([&] { run(*engine, *cache, some_tokens(3, 1024, 1)); });
    CHECK_THAT(error, Catch::Contains("kernel") && Catch::Contains("rms_norm"));
  }
  emulation::reset();
}
