// What the generator's tests share: the tiny checkpoint, an engine that counts what it is given, a random
// model with a short context.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/tokenizer.h"
#include "impl/generator.h"
#include "tests/impl/support.h"

namespace plumbline::native::testing {

// Of tiny; one for the whole program.
Engine& tiny_engine();
const Tokenizer& tiny_tokenizer();
std::vector<TokenId> encode(std::string_view text);

// Counts, and can fail: throws Error at call number `fail_at`, from 0.
class CountingSink final : public StepSink {
 public:
  void begin(std::span<const SequenceStep> steps) override;
  Access access(const ProbeId&) const override { return Access::none; }
  void receive(const ProbeId&, const TensorView&) override {}

  std::int64_t calls = 0;
  std::int64_t tokens = 0;
  std::vector<std::size_t> steps;  // of each call
  std::int64_t fail_at = -1;
};

// Greedy, at most so many tokens, no end token.
GenerationRequest request(Prompt prompt, std::int64_t max_new_tokens = 8);

// Two layers, 31 tokens, so many positions.
std::unique_ptr<Engine> short_model(const ScratchDirectory& scratch, int context);

}  // namespace plumbline::native::testing
