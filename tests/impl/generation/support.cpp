#include "tests/impl/generation/support.h"

#include <fmt/format.h>

#include "impl/cpu/engine.h"
#include "impl/tokenizer.h"

namespace plumbline::native::testing {

Engine& tiny_engine() {
  static const std::unique_ptr<Engine> engine = make_cpu_engine(tiny_model(), {});
  return *engine;
}

const Tokenizer& tiny_tokenizer() {
  static const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(tiny_model());
  return *tokenizer;
}

std::vector<TokenId> encode(std::string_view text) {
  return tiny_tokenizer().encode(text);
}

void CountingSink::begin(std::span<const SequenceStep> given) {
  if (calls++ == fail_at) throw Error("was told to fail", "test");
  steps.push_back(given.size());
  for (const SequenceStep& each : given) tokens += static_cast<std::int64_t>(each.tokens.size());
}

GenerationRequest request(Prompt prompt, std::int64_t max_new_tokens) {
  GenerationRequest request;
  request.prompt = std::move(prompt);
  request.options.max_new_tokens = max_new_tokens;
  return request;
}

std::unique_ptr<Engine> short_model(const ScratchDirectory& scratch, int context) {
  write_random_model(scratch,
                     fmt::format(R"({{"vocab_size": 31, "hidden_size": 16, "intermediate_size": 20,
      "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
      "max_position_embeddings": {}}})",
                                 context),
                     4);
  return make_cpu_engine(scratch.path(), {.threads = 1});
}

}  // namespace plumbline::native::testing
