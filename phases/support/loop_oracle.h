// What a generation loop is held against: the whole text computed at once by the engine, over an empty cache;
// and what was seen of the loop on its way.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/engine.h"
#include "harness/report.h"
#include "impl/generation/hooks.h"
#include "impl/generation/step_sink.h"

namespace plumbline::phases {

// Tokens, and the logits that each was chosen from, as a loop's on_token shows them.
struct SeenTokens {
  std::vector<TokenId> tokens;
  std::vector<std::string> pieces;  // of text, by token
  std::vector<float> logits;        // [tokens, vocab]
  bool keep_logits = true;
};
// It must outlive the hooks.
native::GenerationHooks watch(SeenTokens& seen);

// Every token that goes through the engine, by its call, and what the calls cost.
class StepLog : public native::StepSink {
 public:
  explicit StepLog(const Engine& engine) : engine_(engine) {}
  void begin(std::span<const SequenceStep> steps) override;
  Access access(const ProbeId&) const override { return Access::none; }
  void receive(const ProbeId&, const TensorView&) override {}

  struct Fed {
    SequenceId sequence = 0;
    TokenId token = 0;
    std::int64_t position = 0;
  };
  const std::vector<Fed>& fed() const { return fed_; }
  std::vector<TokenId> tokens() const;
  std::vector<std::int64_t> positions() const;
  // heads * queries * keys * 4, summed over the calls: the weights that one layer's attention makes in f32.
  // Keys are those of the whole sequence up to the call's last token (of one from which nothing was evicted);
  // the mask is not taken off.
  double attention_bytes() const { return attention_bytes_; }

 private:
  const Engine& engine_;
  std::vector<Fed> fed_;
  double attention_bytes_ = 0;
};

// Logits of the positions [first, tokens - 1): each chooses the token behind it. [tokens - 1 - first, vocab]
// f32. All of them in one call, after those before `first`; `sink` sees both. Needs 0 <= first < tokens - 1.
Tensor whole_text_logits(Engine& engine, std::span<const TokenId> tokens, std::int64_t first,
                         ProbeSink* sink = nullptr);

// A check with gate 0 over two texts, as record_equal makes it.
Check check_equal(std::string what, std::string subject, std::string_view expected, std::string_view actual);
// As check_same_bits; quick where they are.
Check check_bits(std::string what, std::string subject, const Tensor& actual, const Tensor& expected);
// That the logits which a loop showed are those of the whole text, bit for bit, which ends with what was
// generated; and of a greedy answer that each token is the first of the largest.
Check check_whole(std::string what, std::string subject, Engine& engine, std::span<const TokenId> text,
                  const SeenTokens& seen);
std::string ids_text(std::span<const TokenId> ids);  // "12 5 7"

}  // namespace plumbline::phases
