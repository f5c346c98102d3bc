#include "reference/internal/weights_torch.h"

#include <cmath>

#include "reference/internal/convert_torch.h"
#include "reference/weights.h"

namespace plumbline::reference {

Weights::Weights(const std::filesystem::path& directory, const ModelConfig& config, DType storage,
                 DType compute)
    : index_(index_checkpoint(directory)),
      tied_(config.tie_word_embeddings),
      storage_(storage),
      compute_(compute) {
  check_against(index_, expected_weights(config), directory);
}

at::Tensor Weights::load(const std::string& name, const StoredLocation& location) const {
  Tensor stored(location.dtype, location.shape);
  const auto bytes = stored.values<std::byte>();
  read_tensor(location, bytes);
  at::Tensor values =
      as_torch(stored.view()).to(torch_type(storage_)).to(torch_type(compute_), false, /*copy=*/true);
  const auto [least, largest] = at::aminmax(values);  // NaN if any is
  const bool finite = std::isfinite(least.item<double>()) && std::isfinite(largest.item<double>());
  if (!finite) throw Error("holds NaN or infinity", location.file.string() + ": " + name);
  return values;
}

at::Tensor Weights::get(const std::string& name) const {
  const std::string key = tied_ && name == "lm_head.weight" ? "model.embed_tokens.weight" : name;
  const std::lock_guard lock(mutex_);
  const auto found = loaded_.find(key);
  if (found != loaded_.end()) return found->second;
  const auto location = index_.find(key);
  require(location != index_.end(), "a weight that was not checked for: " + key);
  return loaded_[key] = load(key, location->second);
}

at::Tensor Weights::layer(int layer, const std::string& name) const {
  const std::string full = "model.layers." + std::to_string(layer) + "." + name;
  const bool has_bias =
      name == "self_attn.q_proj.bias" || name == "self_attn.k_proj.bias" || name == "self_attn.v_proj.bias";
  if (name.ends_with(".bias") && !has_bias) return {};
  return get(full);
}

const std::string& Weights::hash() const {
  const std::lock_guard lock(mutex_);
  if (hash_.empty()) hash_ = hash_checkpoint(index_);
  return hash_;
}

}  // namespace plumbline::reference
