#include <cmath>

#include <fmt/format.h>

#include "impl/config_parts.h"

namespace plumbline::native {
namespace {

// YaRN's factor on cos and sin (https://arxiv.org/abs/2309.00071, section 3.4).
double yarn_scale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

void read_yarn(const JsonFields& scaling, const ModelConfig& config, RopeParameters& rope) {
  rope.original_max_position_embeddings =
      scaling.integer("original_max_position_embeddings", config.max_position_embeddings, 1, kMaxLength);
  rope.factor = scaling.number("factor", static_cast<double>(config.max_position_embeddings) /
                                             static_cast<double>(rope.original_max_position_embeddings));
  // 0 stands for "not given", as it does in transformers.
  rope.beta_fast = scaling.number("beta_fast", 32);
  if (rope.beta_fast == 0) rope.beta_fast = 32;
  rope.beta_slow = scaling.number("beta_slow", 1);
  if (rope.beta_slow == 0) rope.beta_slow = 1;
  if (!(rope.factor >= 1)) scaling.fail("rope factor", "must be at least 1");
  if (!(rope.beta_slow > 0 && rope.beta_fast >= rope.beta_slow)) {
    scaling.fail("beta_fast", "must be at least beta_slow, and both positive");
  }
  const double mscale = scaling.number("mscale", 0);
  const double mscale_all_dim = scaling.number("mscale_all_dim", 0);
  rope.attention_factor = yarn_scale(rope.factor, 1);
  if (mscale != 0 && mscale_all_dim != 0) {
    rope.attention_factor = yarn_scale(rope.factor, mscale) / yarn_scale(rope.factor, mscale_all_dim);
  }
  rope.attention_factor = scaling.number("attention_factor", rope.attention_factor);
  if (!(rope.attention_factor > 0)) scaling.fail("attention_factor", "must be positive");
  if (!scaling.boolean("truncate", true)) scaling.fail("truncate", "false is not supported");
}

}  // namespace

RopeParameters read_rope_parameters(const JsonFields& fields, const ModelConfig& config) {
  static const nlohmann::json none = nlohmann::json::object();
  // transformers lets a non-empty rope_scaling win over rope_parameters.
  const nlohmann::json* given = fields.find("rope_scaling");
  if (given == nullptr || given->empty()) given = fields.find("rope_parameters");
  if (given == nullptr) given = &none;
  if (!given->is_object()) fields.fail("rope_parameters", "must be an object");
  for (const char* nested : {"full_attention", "sliding_attention"}) {
    if (given->contains(nested)) fields.fail("rope_parameters", "by layer type are not supported");
  }
  const JsonFields scaling(*given, fields.where());
  RopeParameters rope;
  rope.type = scaling.string("rope_type", scaling.string("type", "default"));
  rope.theta = scaling.number("rope_theta", fields.number("rope_theta", 10000.0));
  const bool theta_fits = rope.theta >= 1e-30 && rope.theta <= 1e30;
  if (!theta_fits) fields.fail("rope_theta", "must be positive, and at most 1e30");
  const double rotated = scaling.number("partial_rotary_factor", fields.number("partial_rotary_factor", 1));
  if (rotated != 1) fields.fail("partial_rotary_factor", "other than 1 is not supported");
  if (rope.type == "yarn") {
    if (!(rope.theta > 1)) fields.fail("rope_theta", "must be more than 1 with yarn");
    read_yarn(scaling, config, rope);
  } else if (rope.type != "default") {
    fields.fail("rope type", fmt::format("is '{}'", rope.type), "default and yarn are supported");
  }
  return rope;
}

}  // namespace plumbline::native
