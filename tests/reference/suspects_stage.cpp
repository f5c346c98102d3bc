#include <cmath>

#include "reference/engine.h"
#include "reference/replay.h"
#include "tests/reference/suspects.h"

namespace plumbline::test {

nlohmann::json square_config() {
  nlohmann::json config = small_config();
  config["head_dim"] = 6;
  config["use_sliding_window"] = false;
  return config;
}

Stage::Stage(const nlohmann::json& chosen, std::vector<std::int64_t> split, float loud) : config(chosen) {
  write_random_checkpoint(directory_.path(), config, 11);
  weights_ = read_tensors(directory_.path() / "model.safetensors");
  for (auto& [name, tensor] : weights_) {
    if (!name.ends_with("q_proj.bias") && !name.ends_with("k_proj.bias")) continue;
    for (float& value : tensor.values<float>()) value *= loud;
  }
  write_tensors(directory_.path() / "model.safetensors", weights_);
  const auto engine = reference::make_engine(directory_.path(), {DType::f32, 1});
  const auto cache = engine->make_cache({CacheKind::concat, 1, 0, DType::f32});
  std::int64_t tokens = 0;
  for (const std::int64_t count : split) tokens += count;
  trace_ = record_steps(*engine, *cache, some_tokens(static_cast<std::size_t>(tokens), 50), split);
  replayer_ = reference::make_replayer(directory_.path(), DType::f32);
}

void Stage::forget(const std::vector<std::string>& probes) {
  for (TraceStep& step : trace_.steps) {
    for (int layer = 0; layer < config["num_hidden_layers"].get<int>(); ++layer) {
      for (const std::string& probe : probes) {
        step.tensors.erase(site("model.layers." + std::to_string(layer) + ".self_attn." + probe));
      }
    }
  }
}

void Stage::replace(const std::string& probe, const std::vector<std::int64_t>& shape) {
  trace_.steps.at(0).tensors.at(site(probe)) =
      Tensor(DType::f32, Shape(std::span<const std::int64_t>(shape)));
}

OpSite Stage::site(const std::string& name) {
  OpSite found;
  require(parse_site(name, found), "no probe " + name);
  return found;
}

std::vector<float> Stage::get(const std::string& probe, std::size_t step) const {
  const Tensor& tensor = trace_.steps.at(step).tensors.at(site(probe));
  std::vector<float> values;
  for (std::int64_t i = 0; i < tensor.elements(); ++i) {
    values.push_back(static_cast<float>(element_as_f64(tensor.view(), i)));
  }
  return values;
}

std::vector<float> Stage::weight(const std::string& name) const {
  const auto values = weights_.at(name).values<float>();
  return {values.begin(), values.end()};
}

std::vector<std::int64_t> Stage::shape(const std::string& probe, std::size_t step) const {
  const Shape& recorded = trace_.steps.at(step).tensors.at(site(probe)).shape();
  std::vector<std::int64_t> sizes;
  for (int axis = 0; axis < recorded.rank(); ++axis) sizes.push_back(recorded[axis]);
  return sizes;
}

std::vector<SuspectFit> Stage::ranked(const std::string& probe, const std::vector<float>& values,
                                      std::size_t step, std::vector<std::int64_t> sizes) {
  static const Tolerances tolerances = Tolerances::load(fixture("tolerances.yaml"));
  Tensor& tensor = trace_.steps.at(step).tensors.at(site(probe));
  const Tensor before = tensor;
  const DType dtype = tensor.dtype();
  tensor = Tensor(dtype, sizes.empty() ? tensor.shape() : Shape(std::span<const std::int64_t>(sizes)));
  require(static_cast<std::size_t>(tensor.elements()) == values.size(),
          "planted values do not fill " + probe);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::f32) tensor.values<float>()[i] = values[i];
    if (dtype == DType::i64) tensor.values<std::int64_t>()[i] = static_cast<std::int64_t>(values[i]);
    if (dtype == DType::boolean) tensor.values<std::uint8_t>()[i] = values[i] != 0 ? 1 : 0;
  }
  const std::vector<SuspectFit> list = suspects_of(site(probe), TraceStepView(trace_, step), *replayer_,
                                                   tolerances, DType::f32, DeviceKind::cpu);
  tensor = before;
  for (const SuspectFit& fit : list) require(fit.trouble.empty(), fit.name + ": " + fit.trouble);
  return list;
}

std::string Stage::first(const std::string& probe, const std::vector<float>& values, std::size_t step) {
  const std::vector<SuspectFit> list = ranked(probe, values, step);
  return list.empty() ? "not tried" : (list.front().fits ? list.front().name : "none fits");
}

std::string Stage::named(const std::string& probe, const std::vector<float>& values, std::size_t step) {
  return verdict_of(ranked(probe, values, step));
}

std::vector<float> linear(const std::vector<float>& x, const std::vector<float>& w,
                          const std::vector<float>& b, std::size_t in) {
  const std::size_t rows = x.size() / in, out = w.size() / in;
  std::vector<float> y;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t o = 0; o < out; ++o) {
      float lanes[8] = {};
      for (std::size_t k = 0; k < in; ++k) lanes[k % 8] += x[row * in + k] * w[o * in + k];
      float sum = 0;
      for (const float lane : lanes) sum += lane;
      y.push_back(sum + (b.empty() ? 0.0f : b[o]));
    }
  }
  return y;
}

float rounded(float value, int bits) {
  if (value == 0) return value;
  int exponent = 0;
  const float mantissa = std::frexp(value, &exponent);  // [0.5, 1)
  return std::ldexp(std::nearbyint(std::ldexp(mantissa, bits)), exponent - bits);
}

float as_f16(float value) {
  constexpr float kSmallest = 0x1p-24f;
  return std::fabs(value) < 0x1p-14f ? std::nearbyint(value / kSmallest) * kSmallest : rounded(value, 11);
}

std::vector<float> rounded(std::vector<float> values, int bits) {
  for (float& value : values) value = rounded(value, bits);
  return values;
}

}  // namespace plumbline::test
