#include "phases/support/logit_rows.h"

#include <cmath>
#include <limits>
#include <set>

#include <fmt/format.h>

#include "harness/draws.h"
#include "harness/half.h"
#include "harness/trace.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"

namespace plumbline::phases {
namespace {

float normal(std::uint64_t bits) {
  const std::uint64_t sum =
      (bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) + ((bits >> 32) & 0xFFFF) + (bits >> 48);
  return (static_cast<float>(sum) - 131070.0f) / 8192.0f;
}

float made_up_logit(LogitKind kind, std::int64_t token) {
  const std::uint64_t bits = Draws::at(static_cast<std::uint64_t>(token));
  switch (kind) {
    case LogitKind::normal:
      return normal(bits);
    case LogitKind::flat:
      return normal(bits) / 64;
    case LogitKind::equal:
      return 0.5f;
    case LogitKind::ties:
      return static_cast<float>(bits % 7);
    case LogitKind::holes:
      return token % 3 == 1 ? -std::numeric_limits<float>::infinity() : normal(bits);
    case LogitKind::peaked:
      return token == 0 ? 40.0f : normal(bits);
    case LogitKind::huge:
      return normal(bits) * 0x1p100f;
  }
  throw InternalError("made_up_logit: no such kind");
}

Tensor tensor_of(std::span<const float> values) {
  return Tensor::from<float>(DType::f32, Shape{static_cast<std::int64_t>(values.size())}, values);
}

std::vector<LogitRow> make_model_rows() {
  std::vector<LogitRow> rows;
  std::set<std::string> seen;  // where the goldens are few, one prompt may be nearest to two of these
  std::vector<Prompt> prompts{prompt_like("prose", 37)};
  if (!options().quick) {
    prompts.push_back(prompt_like("hello", 1));
    prompts.push_back(prompt_like("chat", 112));
  }
  for (const Prompt& prompt : prompts) {
    if (!seen.insert(prompt.name).second) continue;
    const Trace trace = record_prefill(reference(), prompt.ids, ProbeFilter({"lm_head"}));
    const Tensor last = copy_host(trace.steps.at(0).tensors.at({Probe::lm_head, -1}).view().last_rows(1));
    std::vector<float> values(static_cast<std::size_t>(last.elements()));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(element_as_f64(last.view(), static_cast<std::int64_t>(i)));
    const auto generated = static_cast<std::int64_t>(prompt.ids.size() / 2);
    rows.push_back({prompt.name, prompt.ids, generated, tensor_of(values)});
    for (float& logit : values) logit *= 0.25f;
    rows.push_back({prompt.name + " flattened", prompt.ids, generated, tensor_of(values)});
  }
  return rows;
}

}  // namespace

SamplingStep LogitRow::step(double uniform) const {
  return {logits.view(), history, generated, uniform};
}

std::string_view logit_kind_name(LogitKind kind) {
  switch (kind) {
    case LogitKind::normal:
      return "normal";
    case LogitKind::flat:
      return "flat";
    case LogitKind::equal:
      return "equal";
    case LogitKind::ties:
      return "ties";
    case LogitKind::holes:
      return "holes";
    case LogitKind::peaked:
      return "peaked";
    case LogitKind::huge:
      return "huge";
  }
  throw InternalError("logit_kind_name: no such kind");
}

std::vector<float> made_up_logits(LogitKind kind, std::int64_t vocab) {
  std::vector<float> logits;
  for (std::int64_t token = 0; token < vocab; ++token) logits.push_back(made_up_logit(kind, token));
  return logits;
}

LogitRow made_up_row(LogitKind kind, std::int64_t vocab) {
  const std::vector<float> logits = made_up_logits(kind, vocab);
  LogitRow row{fmt::format("{}, {} tokens", logit_kind_name(kind), vocab), {}, 6, tensor_of(logits)};
  for (const std::int64_t token : {0, 3, 3, 1, 4, 7, 3, 0, 3, 4, 11, 2}) {
    row.history.push_back(static_cast<TokenId>(token % vocab));
  }
  return row;
}

const std::vector<LogitRow>& model_rows() {
  static const std::vector<LogitRow> rows = make_model_rows();
  return rows;
}

LogitRow stored_as(const LogitRow& row, DType dtype) {
  require(dtype == DType::bf16 || dtype == DType::f16, "stored_as: a half type");
  LogitRow stored = row;
  stored.name += fmt::format(" as {}", dtype_name(dtype));
  stored.logits = Tensor(dtype, row.logits.shape());
  for (std::int64_t i = 0; i < row.vocab(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    const float value = row.logits.values<float>()[at];
    stored.logits.values<std::uint16_t>()[at] = dtype == DType::bf16 ? f32_to_bf16(value) : f32_to_f16(value);
  }
  return stored;
}

}  // namespace plumbline::phases
