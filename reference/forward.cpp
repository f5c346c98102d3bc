#include <algorithm>

#include "reference/config.h"
#include "reference/internal/convert_torch.h"
#include "reference/internal/forward_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/mask.h"

namespace plumbline::reference {
namespace {

// [first, first + count) of x, in blocks of rows.
std::vector<at::Tensor> blocks_of(const at::Tensor& x) {
  return x.split(kRowBlock, 0);
}

template <typename Value>
at::Tensor filled_up(const std::vector<Value>& values, std::int64_t rows) {
  const at::Tensor padded = at::zeros({rows}, at::kLong);
  std::copy(values.begin(), values.end(), padded.mutable_data_ptr<std::int64_t>());
  return padded;
}

at::Tensor torch_mask(std::int64_t rows, std::optional<std::int64_t> window) {
  return as_torch(allowed_mask(rows, 0, window).view()).clone();
}

}  // namespace

bool layers_differ(const ModelConfig& config) {
  const auto& types = config.layer_types;
  return std::adjacent_find(types.begin(), types.end(), std::not_equal_to<>()) != types.end();
}

ForwardPass::ForwardPass(const ModelConfig& config, const Weights& weights, DType dtype, SequenceId sequence,
                         std::int64_t past, ProbeSink& sink)
    : config_(config),
      sizes_(derive(config)),
      weights_(weights),
      type_(torch_type(dtype)),
      sequence_(sequence),
      past_(past),
      sink_(sink) {}

void ForwardPass::emit(OpSite site, const at::Tensor& view) {
  const ProbeId id{site, sequence_};
  const ProbeSink::Access access = sink_.access(id);
  if (access == ProbeSink::Access::none) return;
  const at::Tensor host = view.cpu();  // the tensor itself, where it is there
  if (access == ProbeSink::Access::read) return sink_.receive(id, view_of(host));
  sink_.modify(id, mutable_view_of(host));
  view.copy_(host);
}

void ForwardPass::emit_rows(Probe probe, int layer, const at::Tensor& all) {
  emit({probe, layer}, all.narrow(0, past_, length_ - past_));
}

void ForwardPass::emit_masks() {
  const auto step = [&](const at::Tensor& mask) {
    return mask.narrow(0, past_, length_ - past_).narrow(1, 0, length_);
  };
  if (layers_differ(config_)) {
    emit({Probe::attention_mask_full, -1}, step(allowed_full_));
    emit({Probe::attention_mask_sliding, -1}, step(allowed_sliding_));
  } else {
    emit({Probe::attention_mask, -1}, step(allowed(0)));
  }
}

at::Tensor ForwardPass::allowed(int layer) const {
  const LayerType type = config_.layer_types[static_cast<std::size_t>(layer)];
  return type == LayerType::sliding_attention ? allowed_sliding_ : allowed_full_;
}

void ForwardPass::prepare(const History& history) {
  length_ = history.length();
  rows_ = (length_ + kRowBlock - 1) / kRowBlock * kRowBlock;
  const at::Device device = weights_.device();
  ids_ = filled_up(history.tokens, rows_).to(device);
  emit_rows(Probe::input_ids, -1, ids_);
  const at::Tensor positions = filled_up(history.positions, rows_).to(device);
  emit_rows(Probe::position_ids, -1, positions);
  allowed_full_ = torch_mask(rows_, std::nullopt).to(device);
  if (config_.sliding_window) allowed_sliding_ = torch_mask(rows_, config_.sliding_window).to(device);
  emit_masks();

  const at::Tensor inv_freq = ops::inverse_frequencies(config_).to(device);
  emit({Probe::inv_freq, -1}, inv_freq);
  const at::Tensor angles =
      ops::rotary_angles(positions, inv_freq).to(type_ == at::kDouble ? type_ : at::kFloat);
  cos_ = (angles.cos() * config_.rope.attention_factor).to(type_);
  sin_ = (angles.sin() * config_.rope.attention_factor).to(type_);
  emit_rows(Probe::cos, -1, cos_);
  emit_rows(Probe::sin, -1, sin_);
}

at::Tensor ForwardPass::project(int layer, const std::string& name, const at::Tensor& x) const {
  const at::Tensor weight = weights_.layer(layer, name + ".weight");
  const at::Tensor bias = weights_.layer(layer, name + ".bias");
  std::vector<at::Tensor> out;
  for (const at::Tensor& rows : blocks_of(x)) out.push_back(ops::linear(rows, weight, bias));
  return at::cat(out);
}

at::Tensor ForwardPass::norm(const at::Tensor& x, const at::Tensor& weight) const {
  return ops::rms_norm(x, weight, config_.rms_norm_eps);
}

// q: [rows, heads, head_dim]; keys, values: [rows, kv_heads, head_dim] -> [rows, heads * head_dim]
at::Tensor ForwardPass::attend(int layer, const at::Tensor& q, const at::Tensor& keys,
                               const at::Tensor& values) {
  const at::Tensor query = q.transpose(0, 1);
  const at::Tensor key = ops::expand_groups(keys, sizes_.heads_per_kv_head);
  const at::Tensor value = ops::expand_groups(values, sizes_.heads_per_kv_head);
  const at::Tensor mask = allowed(layer);
  const std::int64_t heads = config_.num_attention_heads;
  const auto block = [](const at::Tensor& square, std::int64_t row) {  // its rows, keys up to its end
    return square.narrow(-2, row, kRowBlock).narrow(-1, 0, row + kRowBlock);
  };
  const auto step = [&](const at::Tensor& square) {
    return square.narrow(1, past_, length_ - past_).narrow(2, 0, length_);
  };

  const at::Tensor all_scores = at::zeros({heads, rows_, rows_}, q.options());
  for (std::int64_t row = 0; row < rows_; row += kRowBlock) {
    const at::Tensor rows = query.narrow(1, row, kRowBlock).contiguous();
    const at::Tensor seen = key.narrow(1, 0, row + kRowBlock).contiguous();
    block(all_scores, row).copy_(ops::scores(rows, seen, sizes_.attention_scale));
  }
  emit({Probe::scores, layer}, step(all_scores));

  const at::Tensor probs = at::zeros_like(all_scores);
  for (std::int64_t row = 0; row < rows_; row += kRowBlock) {
    block(probs, row).copy_(ops::softmax(block(all_scores, row).contiguous(), block(mask, row)));
  }
  emit({Probe::probs, layer}, step(probs));

  std::vector<at::Tensor> out;
  for (std::int64_t row = 0; row < rows_; row += kRowBlock) {
    const at::Tensor seen = value.narrow(1, 0, row + kRowBlock).contiguous();
    out.push_back(ops::context(block(probs, row).contiguous(), seen));
  }
  return at::cat(out);
}

at::Tensor ForwardPass::attention(int layer, const at::Tensor& normed) {
  const at::Tensor q = project(layer, "self_attn.q_proj", normed);
  const at::Tensor k = project(layer, "self_attn.k_proj", normed);
  const at::Tensor v = project(layer, "self_attn.v_proj", normed);
  emit_rows(Probe::q_proj, layer, q);
  emit_rows(Probe::k_proj, layer, k);
  emit_rows(Probe::v_proj, layer, v);

  const at::Tensor q_rope =
      ops::rope(q.view({rows_, config_.num_attention_heads, config_.head_dim}), cos_, sin_);
  const at::Tensor k_rope =
      ops::rope(k.view({rows_, config_.num_key_value_heads, config_.head_dim}), cos_, sin_);
  emit_rows(Probe::q_rope, layer, q_rope);
  emit_rows(Probe::k_rope, layer, k_rope);

  const at::Tensor values = v.view({rows_, config_.num_key_value_heads, config_.head_dim});
  emit({Probe::past_key, layer}, k_rope.narrow(0, 0, length_));
  emit({Probe::past_value, layer}, values.narrow(0, 0, length_));

  const at::Tensor attended = attend(layer, q_rope, k_rope, values);
  emit_rows(Probe::context, layer, attended);
  const at::Tensor out = project(layer, "self_attn.o_proj", attended);
  emit_rows(Probe::o_proj, layer, out);
  return out;
}

at::Tensor ForwardPass::mlp(int layer, const at::Tensor& normed) {
  const at::Tensor gate = project(layer, "mlp.gate_proj", normed);
  emit_rows(Probe::gate_proj, layer, gate);
  const at::Tensor up = project(layer, "mlp.up_proj", normed);
  emit_rows(Probe::up_proj, layer, up);
  const at::Tensor act = ops::silu_mul(gate, up);
  emit_rows(Probe::act, layer, act);
  const at::Tensor down = project(layer, "mlp.down_proj", act);
  emit_rows(Probe::down_proj, layer, down);
  return down;
}

at::Tensor ForwardPass::head(const at::Tensor& normed, LogitsWanted wanted) {
  if (wanted == LogitsWanted::none) return at::empty({0, config_.vocab_size}, normed.options());
  const std::int64_t first = wanted == LogitsWanted::all ? past_ : length_ - 1;
  const std::int64_t block = first / kRowBlock * kRowBlock;
  const at::Tensor all = at::empty({rows_ - block, config_.vocab_size}, normed.options());
  for (std::int64_t from = 0; from < config_.vocab_size; from += kHeadRows) {
    const std::int64_t count = std::min(kHeadRows, config_.vocab_size - from);
    const at::Tensor weight = weights_.rows("lm_head.weight", from, count);
    for (std::int64_t row = block; row < rows_; row += kRowBlock) {
      all.narrow(0, row - block, kRowBlock)
          .narrow(1, from, count)
          .copy_(ops::linear(normed.narrow(0, row, kRowBlock), weight, at::Tensor()));
    }
  }
  const at::Tensor logits = all.narrow(0, first - block, length_ - first);
  emit({Probe::lm_head, -1}, logits);
  return logits;
}

at::Tensor ForwardPass::run(const History& history, LogitsWanted wanted) {
  prepare(history);
  at::Tensor x = weights_.gathered("model.embed_tokens.weight", ids_);
  emit_rows(Probe::embed_tokens, -1, x);
  for (int layer = 0; layer < config_.num_hidden_layers; ++layer) {
    at::Tensor normed = norm(x, weights_.layer(layer, "input_layernorm.weight"));
    emit_rows(Probe::input_layernorm, layer, normed);
    x = ops::residual(x, attention(layer, normed));
    emit_rows(Probe::attn_residual, layer, x);
    normed = norm(x, weights_.layer(layer, "post_attention_layernorm.weight"));
    emit_rows(Probe::post_attention_layernorm, layer, normed);
    x = ops::residual(x, mlp(layer, normed));
    emit_rows(Probe::mlp_residual, layer, x);
  }
  const at::Tensor normed = norm(x, weights_.get("model.norm.weight"));
  emit_rows(Probe::norm, -1, normed);
  return head(normed, wanted);
}

}  // namespace plumbline::reference
