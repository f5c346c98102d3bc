// A prompt's tensors against its goldens: whole tensors where the goldens hold them, samples where they hold
// samples (fixtures/README.md describes both). The rows say which comparison was made.
#pragma once

#include <string>

#include "harness/tensor.h"
#include "phases/support/sides.h"

namespace plumbline::phases {

// All of these do nothing for a prompt without a golden. Logits are [tokens, vocab], hidden states [tokens,
// hidden].

// The subject's logits, to the contract for final logits or, sampled, relative to Hugging Face's own error.
void record_golden_logits(const Prompt& prompt, const TensorView& logits);

// The reference on trial, on the weights as the file has them: its f32 and its f64 logits against Hugging
// Face's.
void record_reference_logits(const Prompt& prompt, const TensorView& f32, const TensorView& f64);
void record_exact_reference_logits(const Prompt& prompt, const TensorView& f64);

// The residual stream after a layer; `what` is its name in the report.
void record_golden_hidden(const Prompt& prompt, const std::string& what, int layer, const TensorView& hidden);

}  // namespace plumbline::phases
