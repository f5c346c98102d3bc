#include "phases/support/mask_trials.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "harness/half.h"
#include "impl/cpu/isa.h"
#include "impl/cpu/rope.h"
#include "impl/inverse_frequencies.h"
#include "impl/positions.h"
#include "phases/support/loop_inputs.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/replay.h"

namespace plumbline::phases {

void EndToEnd::add(const TensorView& tensor) {
  require(bytes_.empty() || tensor.dtype == dtype_, "EndToEnd: types differ");
  dtype_ = tensor.dtype;
  const Tensor copy = copy_host(tensor);
  bytes_.insert(bytes_.end(), copy.bytes().begin(), copy.bytes().end());
  if (!shapes_.empty()) shapes_ += " ";
  shapes_ += tensor.shape.to_string();
}

Tensor EndToEnd::joined() const {
  Tensor tensor(dtype_, Shape{static_cast<std::int64_t>(bytes_.size() / dtype_size(dtype_))});
  std::copy(bytes_.begin(), bytes_.end(), tensor.values<std::byte>().begin());
  return tensor;
}

Tensor scores_in(DType dtype, Shape shape, bool deep) {
  std::mt19937 generator(7);
  std::normal_distribution<float> normal(0.0f, 2.0f);
  Tensor scores(dtype, shape);
  const std::int64_t keys = shape[shape.rank() - 1];
  for (std::int64_t i = 0; i < shape.elements(); ++i) {
    const float value = deep && i % keys == keys - 1 ? -20.0f : normal(generator);
    const auto at = static_cast<std::size_t>(i);
    if (dtype == DType::f32) {
      scores.values<float>()[at] = value;
    } else {
      scores.values<std::uint16_t>()[at] = dtype == DType::bf16 ? f32_to_bf16(value) : f32_to_f16(value);
    }
  }
  return scores;
}

std::string outcome_of(const Tensor& weights, std::int64_t row) {
  const auto keys = static_cast<std::size_t>(weights.shape()[weights.shape().rank() - 1]);
  const auto values = weights.values<float>().subspan(static_cast<std::size_t>(row) * keys, keys);
  const auto all = [&](auto holds) { return std::all_of(values.begin(), values.end(), holds); };
  if (all([](float value) { return std::isnan(value); })) return "NaN";
  if (all([](float value) { return value == 0; })) return "0";
  return all([&](float value) { return value == values[0]; }) ? "uniform" : "uneven";
}

Tensor left_padded(std::span<const std::int64_t> lengths) {
  const std::int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  Tensor real(DType::boolean, {static_cast<std::int64_t>(lengths.size()), longest});
  std::uint8_t* row = real.values<std::uint8_t>().data();
  for (const std::int64_t length : lengths) {
    std::fill(row + longest - length, row + longest, std::uint8_t{1});
    row += longest;
  }
  return real;
}

TensorView real_part(const Tensor& padded, std::int64_t sequence, std::int64_t length) {
  const std::int64_t longest = padded.shape()[1], first = longest - length;
  const std::uint8_t* data = padded.values<std::uint8_t>().data();
  return {data + (sequence * longest + first) * longest + first, DType::boolean, Shape{length, length},
          Shape{longest, 1}};
}

double softmax_ceiling() {
  return tolerances().op(OpClass::softmax, DType::f32, DeviceKind::cpu).ceiling.value();
}

Tensor native_positions(std::int64_t past, std::int64_t tokens) {
  return Tensor::from<std::int64_t>(DType::i64, Shape{tokens}, native::position_ids(past, tokens));
}

Tensor as_f32(const Tensor& whole_numbers) {
  Tensor floats(DType::f32, whole_numbers.shape());
  const auto whole = whole_numbers.values<std::int64_t>();
  std::transform(whole.begin(), whole.end(), floats.values<float>().begin(),
                 [](std::int64_t number) { return static_cast<float>(number); });
  return floats;
}

Trace rotation(std::int64_t first, std::int64_t tokens) {
  const ModelConfig& config = subject().config();
  const std::int64_t heads = config.num_attention_heads, dim = config.head_dim;
  const std::vector<float> table = native::inverse_frequencies(config);
  Tensor cos(DType::f32, {tokens, dim}), sin(DType::f32, {tokens, dim});
  const std::vector<std::int64_t> positions = native::position_ids(first, tokens);
  native::cos_sin(positions, table, static_cast<float>(config.rope.attention_factor),
                  cos.values<float>().data(), sin.values<float>().data());
  Tensor before = scores_in(DType::f32, {tokens, heads * dim});
  Tensor after(DType::f32, {tokens, heads, dim});
  std::copy(before.bytes().begin(), before.bytes().end(), after.values<std::byte>().begin());
  native::ThreadPool pool(1);
  const native::CpuContext context{native::kernels_for(options().isa), pool};
  native::rope(context, after.values<float>().data(), tokens, heads, dim, cos.values<float>().data(),
               sin.values<float>().data());

  TraceStep step;
  step.given = GivenInputs{std::vector<TokenId>(static_cast<std::size_t>(tokens), 0), positions};
  step.tensors[{Probe::input_ids, -1}] = Tensor(DType::i64, {tokens});
  step.tensors[{Probe::position_ids, -1}] = native_positions(first, tokens);
  step.tensors[{Probe::inv_freq, -1}] =
      Tensor::from<float>(DType::f32, {static_cast<std::int64_t>(table.size())}, table);
  step.tensors[{Probe::cos, -1}] = std::move(cos);
  step.tensors[{Probe::sin, -1}] = std::move(sin);
  step.tensors[{Probe::q_proj, 0}] = std::move(before);
  step.tensors[{Probe::q_rope, 0}] = std::move(after);
  Trace trace;
  trace.steps.push_back(std::move(step));
  return trace;
}

Trace without_frequencies(Trace trace) {
  trace.steps.at(0).tensors.erase({Probe::inv_freq, -1});
  return trace;
}

// What is tried here computes in f32, whatever the subject stores.
static const Replayer& f32_replayer() {
  if (options().dtype == DType::f32) return replayer();
  static const std::unique_ptr<Replayer> made = reference::make_replayer(options().model, DType::f32);
  return *made;
}

Judgement judged_sites(const Trace& trace, std::span<const OpSite> sites) {
  const TraceStepView step(trace, 0);
  Judgement judgement;
  for (const OpSite site : sites)
    judgement.ops.push_back(judge_op(site, step, f32_replayer(), tolerances(), DType::f32, DeviceKind::cpu));
  return judgement;
}

std::string refusal(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error&) {
    return "refused";
  }
  return "went on";
}

double milliseconds(const std::function<void()>& body) {
  const auto began = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
}

Trace recorded_inputs(const Prompt& prompt, std::span<const std::int64_t> split, CacheKind kind) {
  const auto length = static_cast<std::int64_t>(prompt.ids.size());
  const auto cache = subject().make_cache({kind, 1, length, subject().info().storage});
  return record_steps(subject(), *cache, prompt.ids, split, ProbeFilter({"attention_mask*", "position_ids"}));
}

std::vector<Split> splits(std::int64_t length) {
  return {{"prefill of 5 and single tokens", prefill_and_steps(length, std::min<std::int64_t>(5, length))},
          {"single tokens", prefill_and_steps(length, 1)},
          {"chunks of 7", chunks(length, 7)}};
}

}  // namespace plumbline::phases
