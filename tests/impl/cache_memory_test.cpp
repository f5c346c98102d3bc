// Memory that is not there, with the process's address space limited to little more than it has.
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include <catch2/catch.hpp>

#include "impl/cache.h"
#include "impl/cpu/attention.h"
#include "impl/cpu/engine.h"
#include "impl/cpu/isa.h"
#include "impl/mask.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr CacheShape kShape{1, 1, 1024};
constexpr std::int64_t kTokens = 10000;  // 82 MB of keys and values in f32

constexpr const char* kWideConfig = R"({
  "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu",
  "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
  "num_key_value_heads": 1, "vocab_size": 60000, "max_position_embeddings": 8192,
  "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true})";

// While it lives, only 16 MB more can be had.
class LittleMemory {
 public:
  LittleMemory() {
    getrlimit(RLIMIT_AS, &before_);
    std::int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit little = before_;
    little.rlim_cur = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE) + (16 << 20));
    setrlimit(RLIMIT_AS, &little);
  }
  ~LittleMemory() { setrlimit(RLIMIT_AS, &before_); }
  LittleMemory(const LittleMemory&) = delete;
  LittleMemory& operator=(const LittleMemory&) = delete;

 private:
  rlimit before_{};
};

template <typename Body>
std::string error_without_memory(Body body) {
  const LittleMemory little;
  return error_of(body);
}

}  // namespace

// A sanitizer needs far more address space than it uses.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("cache: without memory for it, one is refused with its bytes; one that grows stays as it was") {
  CHECK_THAT(error_without_memory([] {
               make_native_cache({CacheKind::fixed, 1, kTokens}, kShape, 1);
             }),
             Catch::Contains("no memory for a capacity of 10000 tokens: 81920000 bytes"));
  const std::vector<float> rows = random_floats(static_cast<std::size_t>(kTokens * 1024), 1);
  const std::span<const float> few = std::span(rows).first(3 * 1024);
  const auto cache = make_native_cache({CacheKind::concat}, kShape, 1);
  cache->write_prefill(0, few, few);
  CHECK_THAT(error_without_memory([&] { cache->update(0, rows, rows); }),
             Catch::Contains("no memory for 11253 tokens of a layer: 92184576 bytes"));
  CHECK(cache->length(0) == 3);
  CHECK(same_bits(cache->read_key(0, 0).values<float>(), few));
  cache->update(0, rows, rows);
  CHECK(cache->length(0) == 3 + kTokens);
}

TEST_CASE(
    "forward: without memory for a pass, one line says how much was wanted, and the cache is as it was") {
  // A vocabulary so large that the logits of 4,000 tokens fit nowhere, not even into what other tests left.
  const ScratchDirectory directory;
  write_random_model(directory, kWideConfig, 1);
  const auto engine = make_cpu_engine(directory.path(), {.threads = 1});
  const auto cache = engine->make_cache({CacheKind::fixed, 1, 4096});
  const std::vector<TokenId> tokens = some_tokens(4003, engine->config().vocab_size, 1);
  const auto from = [&](std::size_t first, std::size_t count) {
    return std::span(tokens).subspan(first, count);
  };
  run(*engine, *cache, from(0, 3));
  const Tensor keys = cache->read_key(0, 0);
  CHECK_THAT(error_without_memory([&] { run(*engine, *cache, from(3, 4000)); }),
             Catch::Contains("forward: there is no memory for the logits: 960000000 bytes (fewer tokens"));
  CHECK(cache->length(0) == 3);
  CHECK(same_bits(cache->read_key(0, 0).values<float>(), keys.values<float>()));
  const std::vector<float> after = run(*engine, *cache, from(3, 2));
  cache->crop(0, 3);
  CHECK(same_bits(after, run(*engine, *cache, from(3, 2))));
}

TEST_CASE("attention: without memory for its scores, one line says how much was wanted") {
  constexpr std::int64_t kHeads = 64, kLength = 1000000;
  const std::vector<float> queries(kHeads), rows(kLength);
  std::vector<float> out(kHeads);
  AttentionInput in;
  in.queries = queries.data();
  in.runs.add({rows.data(), rows.data(), kLength, 1, 1});
  in.tokens = in.kv_heads = in.head_dim = 1;
  in.length = kLength;
  in.heads = kHeads;
  in.scale = 1.0f;
  ThreadPool pool(1);
  const CpuContext context{kernels_for(""), pool};
  CHECK_THAT(error_without_memory([&] { attention(context, in, out.data()); }),
             Catch::Contains("no memory for a thread's scores: 256000000 bytes"));
}

TEST_CASE("mask: without memory for it, one line says how much was wanted") {
  CHECK_THAT(error_without_memory([] { allowed_mask(20000, 0, std::nullopt); }),
             Catch::Contains("attention mask: there is no memory for [20000, 20000]: 400000000 bytes"));
  const Tensor real(DType::boolean, {1, 20000});
  CHECK_THAT(
      error_without_memory([&] { padded_mask(real.view(), 20000, std::nullopt); }),
      Catch::Contains("padded attention mask: there is no memory for [1, 20000, 20000]: 400000000 bytes"));
  const Tensor allowed = allowed_mask(10000, 0, std::nullopt);
  CHECK_THAT(error_without_memory([&] { additive_mask(allowed.view(), MaskForm::minus_1e9, DType::f32); }),
             Catch::Contains("additive mask: there is no memory for [10000, 10000]: 400000000 bytes"));
}
#endif
