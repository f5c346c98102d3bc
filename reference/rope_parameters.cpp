// transformers' RotaryEmbeddingConfigMixin and _compute_yarn_parameters are the source of every rule here.
#include "reference/internal/rope_parameters.h"

#include <cmath>

namespace plumbline::reference {
namespace {

constexpr double kDefaultTheta = 10000.0;
constexpr double kSmallest = 1e-30;  // zero and below are no base of a power
constexpr double kLargest = 1e30;
constexpr std::int64_t kLargestLength = std::int64_t{1} << 40;

// 0.1 m ln(factor) + 1: YaRN's temperature of attention (arXiv 2309.00071, section 3.4).
double mscale(double factor, double m) {
  return factor <= 1.0 ? 1.0 : 0.1 * m * std::log(factor) + 1.0;
}

// `x or default` of Python: absent, null and 0 give the default.
double number_or(const JsonFields& rope, const char* key, double fallback) {
  const double value = rope.optional_number(key, 0.0, kLargest).value_or(0.0);
  return value != 0.0 ? value : fallback;
}

double attention_factor(const JsonFields& rope, double factor) {
  if (const auto given = rope.optional_number("attention_factor", 0.0, kLargest)) return *given;
  const double m = number_or(rope, "mscale", 0.0);
  const double m_all = number_or(rope, "mscale_all_dim", 0.0);
  if (m != 0.0 && m_all != 0.0) return mscale(factor, m) / mscale(factor, m_all);
  return mscale(factor, 1.0);
}

void parse_yarn(const JsonFields& config, const JsonFields& rope, std::int64_t max_position_embeddings,
                RopeParameters& out) {
  const JsonFields& original = config.has("original_max_position_embeddings") ? config : rope;
  out.original_max_position_embeddings =
      original.integer("original_max_position_embeddings", max_position_embeddings, 1, kLargestLength);
  if (!rope.boolean("truncate", true)) rope.refuse("truncate", "only true is known here");
  if (!rope.present("factor")) rope.refuse("factor", "is missing", "yarn needs it");
  if (!(out.theta > 1.0)) rope.refuse("rope_theta", "yarn needs more than 1");
  const double ratio = static_cast<double>(max_position_embeddings) /
                       static_cast<double>(out.original_max_position_embeddings);
  out.factor = rope.optional_number("factor", 1.0, kLargest).value_or(ratio);
  out.beta_fast = number_or(rope, "beta_fast", 32.0);
  out.beta_slow = number_or(rope, "beta_slow", 1.0);
  if (!(out.beta_fast >= out.beta_slow)) rope.refuse("beta_fast", "must not be below beta_slow");
  out.attention_factor = attention_factor(rope, out.factor);
}

}  // namespace

RopeParameters parse_rope_parameters(const JsonFields& config, std::int64_t max_position_embeddings) {
  const auto filled = [&](const char* key) { return config.has(key) && !config.at(key).empty(); };
  const char* key = filled("rope_scaling") ? "rope_scaling" : "rope_parameters";
  static const nlohmann::json kNone = nlohmann::json::object();
  const nlohmann::json& object = filled(key) ? config.at(key) : kNone;
  if (!object.is_object()) config.refuse(key, "must be an object");
  const JsonFields rope(object, config.where() + ": " + key);

  for (const char* layer_type : {"full_attention", "sliding_attention"}) {
    if (rope.has(layer_type)) rope.refuse(layer_type, "rotary parameters by layer type are not known here");
  }
  if (rope.has("partial_rotary_factor") || config.has("partial_rotary_factor")) {
    const JsonFields& fields = rope.has("partial_rotary_factor") ? rope : config;
    fields.number("partial_rotary_factor", 1.0, 1.0, 1.0);
  }
  RopeParameters out;
  out.type = rope.text("rope_type", rope.text("type", "default"));
  out.theta = rope.number("rope_theta", config.number("rope_theta", kDefaultTheta, kSmallest, kLargest),
                          kSmallest, kLargest);
  if (out.type == "yarn") {
    parse_yarn(config, rope, max_position_embeddings, out);
  } else if (out.type != "default") {
    rope.refuse(rope.has("rope_type") ? "rope_type" : "type", "is not known here", "default or yarn");
  }
  return out;
}

}  // namespace plumbline::reference
