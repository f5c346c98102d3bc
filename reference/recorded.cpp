#include "reference/internal/recorded_torch.h"

#include <algorithm>
#include <unordered_set>

#include "reference/config.h"
#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/rounding_torch.h"
#include "reference/mask.h"

namespace plumbline::reference {
namespace {

constexpr double kTrustedUlps = 8.0;  // a recorded inv_freq this near to the exact value is data

[[noreturn]] void not_recorded(OpSite site) {
  throw NotReplayable(site_name(site) + " was not recorded");
}

}  // namespace

int token_axis(Probe probe) {
  const std::vector<Axis>& axes = probe_spec(probe).shape;
  const auto found = std::find(axes.begin(), axes.end(), Axis::tokens);
  return found == axes.end() ? -1 : static_cast<int>(found - axes.begin());
}

std::vector<bool> distinct_rows(const std::vector<at::Tensor>& inputs) {
  std::unordered_set<std::string> seen;
  std::vector<bool> distinct;
  for (std::int64_t row = 0; row < inputs.at(0).size(0); ++row) {
    std::string bytes;
    for (const at::Tensor& input : inputs) {
      const at::Tensor one = input[row].contiguous();
      bytes.append(static_cast<const char*>(one.const_data_ptr()), one.nbytes());
    }
    distinct.push_back(seen.insert(std::move(bytes)).second);
  }
  return seen.size() == distinct.size() ? std::vector<bool>{} : distinct;
}

Recorded::Recorded(const ModelConfig& config, const Weights& weights, const RecordedStep& step, DType storage)
    : config_(config), weights_(weights), step_(step), storage_(storage) {
  const GivenInputs* given = step.given();
  const auto tokens = static_cast<std::size_t>(step.tokens());
  require(given == nullptr || (given->tokens.size() == tokens && given->positions.size() == tokens),
          "replay: the case's inputs are not as many as the step's tokens");
}

Shape Recorded::full_shape(Probe probe) const {
  const DerivedArchitecture sizes = derive(config_);
  Shape shape;
  for (const Axis axis : probe_spec(probe).shape) {
    switch (axis) {
      case Axis::tokens:
        shape.append(tokens());
        break;
      case Axis::keys:
        shape.append(past() + tokens());
        break;
      case Axis::hidden:
        shape.append(config_.hidden_size);
        break;
      case Axis::query_dim:
        shape.append(sizes.query_dim);
        break;
      case Axis::key_value_dim:
        shape.append(sizes.key_value_dim);
        break;
      case Axis::heads:
        shape.append(config_.num_attention_heads);
        break;
      case Axis::kv_heads:
        shape.append(config_.num_key_value_heads);
        break;
      case Axis::head_dim:
        shape.append(config_.head_dim);
        break;
      case Axis::rotary_pairs:
        shape.append(sizes.rotary_pairs);
        break;
      case Axis::intermediate:
        shape.append(config_.intermediate_size);
        break;
      case Axis::vocab:
        shape.append(config_.vocab_size);
        break;
      case Axis::one:
        shape.append(1);
        break;
    }
  }
  return shape;
}

void Recorded::check_shape(OpSite site, const TensorView& view) const {
  Shape expected = full_shape(site.probe);
  const int axis = token_axis(site.probe);
  const bool has_rows = axis >= 0 && view.shape.rank() == expected.rank();
  const std::int64_t rows = has_rows ? view.shape[axis] : 0;
  if (rows >= 1 && rows <= tokens()) expected.set(axis, rows);
  if (!(view.shape == expected)) {
    throw Error("recorded with shape " + view.shape.to_string() + ", not " + expected.to_string(),
                site_name(site), "does the trace belong to this checkpoint?");
  }
}

std::int64_t Recorded::rows(OpSite site) const {
  const TensorView* view = step_.find(site);
  const int axis = token_axis(site.probe);
  if (view == nullptr || axis < 0 || view->shape.rank() <= axis) return tokens();
  const std::int64_t rows = view->shape[axis];
  return rows >= 1 && rows <= tokens() ? rows : tokens();
}

at::Tensor Recorded::probe(OpSite site, std::int64_t rows) const {
  const TensorView* view = step_.find(site);
  if (view == nullptr) return rebuilt(site, rows);
  check_shape(site, *view);
  const at::Tensor values = to_f64_torch(*view);
  const int axis = token_axis(site.probe);
  if (axis < 0) return values;
  if (values.size(axis) < rows) throw NotReplayable(site_name(site) + " was recorded for fewer rows");
  return values.narrow(axis, values.size(axis) - rows, rows).contiguous();
}

bool Recorded::rounds_each() const {
  return step_.precision().rounding == Rounding::each && is_half(storage_);
}

// Exact ops leave no room for an error, so a span over them has the bound of the op that follows.
at::Tensor Recorded::rebuilt(OpSite site, std::int64_t rows) const {
  const int layer = site.layer;
  switch (site.probe) {
    case Probe::embed_tokens:
      return weights_.gathered("model.embed_tokens.weight", token_ids(rows));
    case Probe::attn_residual:
      return rounded_to(ops::residual(residual_stream(layer, rows), probe({Probe::o_proj, layer}, rows)),
                        storage_);
    case Probe::mlp_residual:
      return rounded_to(
          ops::residual(probe({Probe::attn_residual, layer}, rows), probe({Probe::down_proj, layer}, rows)),
          storage_);
    default:
      not_recorded(site);
  }
}

at::Tensor Recorded::residual_stream(int layer, std::int64_t rows) const {
  return layer == 0 ? probe({Probe::embed_tokens, -1}, rows) : probe({Probe::mlp_residual, layer - 1}, rows);
}

at::Tensor Recorded::cache(OpSite site) const {
  return has(site) ? probe(site, tokens()) : updated_cache(site);
}

at::Tensor Recorded::updated_cache(OpSite site) const {
  const bool is_key = site.probe == Probe::past_key;
  at::Tensor rows = probe({is_key ? Probe::k_rope : Probe::v_proj, site.layer}, tokens());
  rows = rounded_to(rows.view({tokens(), config_.num_key_value_heads, config_.head_dim}), cache_dtype());
  if (past() == 0) return rows;
  const at::Tensor before = previous_cache(site);
  const ForgottenRows lost = forgotten();
  const std::int64_t newer = lost.begin + lost.count;
  return at::cat({before.narrow(0, 0, lost.begin), before.narrow(0, newer, before.size(0) - newer), rows});
}

at::Tensor Recorded::previous_cache(OpSite site) const {
  const bool is_key = site.probe == Probe::past_key;
  const TensorView* before = is_key ? step_.previous_key(site.layer) : step_.previous_value(site.layer);
  if (before == nullptr) throw NotReplayable("the cache before this step was not recorded");
  const Shape expected{past() + forgotten().count, config_.num_key_value_heads, config_.head_dim};
  if (!(before->shape == expected)) {
    throw Error(
        "the cache before this step has shape " + before->shape.to_string() + ", not " + expected.to_string(),
        site_name(site));
  }
  return to_f64_torch(*before);
}

at::Tensor Recorded::checked_ids(const at::Tensor& ids) const {
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    const auto id = ids[i].item<std::int64_t>();
    if (!(id >= 0 && id < config_.vocab_size)) {
      throw Error("token " + std::to_string(id) + " is outside the vocabulary of " +
                      std::to_string(config_.vocab_size),
                  "input_ids");
    }
  }
  return ids;
}

at::Tensor Recorded::given_ids(std::int64_t rows) const {
  const GivenInputs* given = step_.given();
  if (given == nullptr) return checked_ids(probe({Probe::input_ids, -1}, rows).to(at::kLong));
  const std::vector<std::int64_t> ids(given->tokens.end() - rows, given->tokens.end());
  return checked_ids(at::tensor(ids, at::kLong));
}

at::Tensor Recorded::token_ids(std::int64_t rows) const {
  const OpSite site{Probe::input_ids, -1};
  return has(site) ? checked_ids(probe(site, rows).to(at::kLong)) : given_ids(rows);
}

at::Tensor Recorded::given_positions(std::int64_t rows) const {
  const GivenInputs* given = step_.given();
  const std::int64_t first = tokens_before() + tokens() - rows;
  if (given == nullptr) return at::arange(first, first + rows, at::kLong);
  return at::tensor(std::vector<std::int64_t>(given->positions.end() - rows, given->positions.end()),
                    at::kLong);
}

at::Tensor Recorded::positions(std::int64_t rows) const {
  const OpSite site{Probe::position_ids, -1};
  return has(site) ? probe(site, rows) : given_positions(rows);
}

at::Tensor Recorded::allowed(int layer, std::int64_t rows) const {
  const bool slides = config_.layer_types.at(static_cast<std::size_t>(layer)) == LayerType::sliding_attention;
  const Tensor mask =
      allowed_mask(rows, past() + tokens() - rows, slides ? config_.sliding_window : std::nullopt);
  return as_torch(mask.view()).clone();
}

Frequencies Recorded::frequencies() const {
  const OpSite site{Probe::inv_freq, -1};
  if (has(site)) {
    const at::Tensor recorded = probe(site, tokens());
    const at::Tensor exact = ops::exact_inverse_frequencies(config_);
    bool trusted = true;
    for (std::int64_t i = 0; i < exact.numel(); ++i) {
      const double right = exact[i].item<double>();
      const double ulp = 2.0 * half_spacing(right, DType::f32);
      trusted = trusted && std::abs(recorded[i].item<double>() - right) <= kTrustedUlps * ulp;
    }
    if (trusted) return {recorded.to(at::kFloat), true};
  }
  return {ops::inverse_frequencies(config_), false};
}

}  // namespace plumbline::reference
