// Rows of logits for phase 4: a model's own, and made-up ones of any vocabulary.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/sampling.h"

namespace plumbline::phases {

struct LogitRow {
  std::string name;
  std::vector<TokenId> history;
  std::int64_t generated = 0;  // of the history's last tokens
  Tensor logits;               // [vocab], f32, bf16 or f16

  SamplingStep step(double uniform) const;
  std::int64_t vocab() const { return logits.elements(); }
};

// What made-up logits look like. From integers that SplitMix64 (Steele, Lea, Flood: "Fast Splittable
// Pseudorandom Number Generators", OOPSLA 2014) gives for the token's id, so that any program can make the
// same; all are exact in f32.
enum class LogitKind : std::uint8_t {
  normal,  // sums of four uniforms: standard deviation 4.6, steps of 2^-13
  flat,    // the same over 64
  equal,   // all 0.5
  ties,    // integers from 0 to 6
  holes,   // normal, every third -inf
  peaked,  // normal, and one token at 40
  huge,    // normal times 2^100
};
inline constexpr LogitKind kLogitKinds[] = {LogitKind::normal, LogitKind::flat,  LogitKind::equal,
                                            LogitKind::ties,   LogitKind::holes, LogitKind::peaked,
                                            LogitKind::huge};
std::string_view logit_kind_name(LogitKind kind);
std::vector<float> made_up_logits(LogitKind kind, std::int64_t vocab);

// Named "normal, 1000 tokens", with a history of a few tokens, some more than once, and half of it generated.
LogitRow made_up_row(LogitKind kind, std::int64_t vocab);

// The reference's last row of logits for some prompts, as they are and flattened (a real model's are peaked).
// Made once.
const std::vector<LogitRow>& model_rows();

// An f32 row as bf16 or f16, its values rounded to it.
LogitRow stored_as(const LogitRow& row, DType dtype);

}  // namespace plumbline::phases
