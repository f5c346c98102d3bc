// What cuda_bench does with an engine and what it counts, on a device where no time means anything: the
// emulated one, to which the test cuda_bench_parts links it (tests/impl/cuda/CMakeLists.txt). Exits 1 and
// says what is wrong.
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "bench/cuda_limits.h"
#include "bench/cuda_sequence.h"
#include "harness/error.h"
#include "impl/cuda/engine.h"

namespace {

using namespace plumbline;
using namespace plumbline::bench;

void expect(bool holds, const char* what) {
  if (!holds) throw Error("it does not hold", what);
}

// Qwen2 0.5B has 494,032,768 parameters, its tied head counted once; each is read, an embedding's row, and
// the keys and values of the 160 tokens that a decoded one sees in the mean.
void check_sizes() {
  ModelConfig config;
  config.hidden_size = 896;
  config.intermediate_size = 4864;
  config.num_hidden_layers = 24;
  config.num_attention_heads = 14;
  config.num_key_value_heads = 2;
  config.head_dim = 64;
  config.vocab_size = 151936;
  const double cached = 24.0 * 2 * 128 * 160;
  expect(sizes_of(config).decode_bytes == 2 * (494032768.0 + 896 + cached), "bytes of a decode step");
  expect(target_of(config) != nullptr && target_of(config)->decode == 0.55, "the target of 0.5B");
  config.hidden_size = 64;
  expect(target_of(config) == nullptr, "no target for another shape");
}

void check_sequence(const char* model) {
  native::CudaOptions bf16;
  bf16.storage = DType::bf16;
  const std::unique_ptr<Engine> engine = native::make_cuda_engine(model, bf16);
  const std::int64_t vocab = engine->config().vocab_size;
  const std::vector<TokenId> brief = some_prompt(12, vocab), longer = some_prompt(40, vocab);
  Sequence sequence(*engine, 40 + kDecoded);
  for (int round = 0; round < 2; ++round) {
    expect(sequence.decode_seconds(brief) > 0, "a time of decode");
    expect(sequence.prefill_seconds(longer) > 0, "a time of prefill");
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    expect(argc == 2, "usage: cuda_bench_parts MODEL");
    check_sizes();
    check_sequence(argv[1]);
    return 0;
  } catch (const Error& error) {
    fmt::print(stderr, "cuda_bench_parts: {}\n", error.what());
    return 1;
  }
}
