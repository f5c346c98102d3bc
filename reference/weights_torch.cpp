#include "reference/internal/weights_torch.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"

namespace plumbline::reference {
namespace {

constexpr std::int64_t kPiece = 1 << 20;  // elements converted at a time
// Larger than a layer, and read whole all the same where a suspect asks for it: it is not kept.
constexpr std::int64_t kWholeBytes = 256 << 20;
const std::string kHead = "lm_head.weight", kEmbedding = "model.embed_tokens.weight";

bool all_finite(const at::Tensor& values) {
  const auto [least, largest] = at::aminmax(values);  // NaN if any is
  return std::isfinite(least.item<double>()) && std::isfinite(largest.item<double>());
}

// Rows of a tensor where they lie in the file; a vector's rows are its elements.
StoredLocation rows_at(const StoredLocation& whole, std::int64_t begin, std::int64_t count) {
  StoredLocation part = whole;
  const std::uint64_t row = whole.size / static_cast<std::uint64_t>(whole.shape[0]);
  part.shape.set(0, count);
  part.begin += row * static_cast<std::uint64_t>(begin);
  part.size = row * static_cast<std::uint64_t>(count);
  return part;
}

at::Tensor stored_values(const StoredLocation& part) {
  std::vector<std::int64_t> sizes;
  for (int axis = 0; axis < part.shape.rank(); ++axis) sizes.push_back(part.shape[axis]);
  const at::Tensor stored = at::empty(sizes, torch_type(part.dtype));
  read_tensor(part, {static_cast<std::byte*>(stored.mutable_data_ptr()), part.size});
  return stored;
}

// A hint, before the first write: in small pages, a layer's first writes cost as much as its conversion.
void ask_for_huge_pages(const at::Tensor& values) {
  constexpr std::uintptr_t kHuge = 2 << 20;
  const auto address = reinterpret_cast<std::uintptr_t>(values.mutable_data_ptr());
  const std::uintptr_t begin = (address + kHuge - 1) / kHuge * kHuge;
  const std::uintptr_t end = (address + values.nbytes()) / kHuge * kHuge;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

// "model.layers.7.mlp.up_proj.weight" -> "model.layers.7"; others as they are.
std::string layer_of(const std::string& name) {
  constexpr std::string_view kLayers = "model.layers.";
  return name.starts_with(kLayers) ? name.substr(0, name.find('.', kLayers.size())) : name;
}

}  // namespace

Weights::Weights(const std::filesystem::path& directory, const ModelConfig& config, DType storage,
                 DType compute, Hold hold, at::Device device)
    : index_(index_checkpoint(directory)),
      tied_(config.tie_word_embeddings),
      storage_(storage),
      compute_(compute),
      hold_(hold),
      device_(device) {
  check_against(index_, expected_weights(config), directory);
  std::map<std::string, std::int64_t> layers;
  for (const auto& [name, stored] : index_) {
    if (layer_of(name) != name) layers[layer_of(name)] += bytes_of(stored);
  }
  for (const auto& [name, bytes] : layers) most_bytes_ = std::max(most_bytes_, bytes);
}

const std::string& Weights::stored_name(const std::string& name) const {
  return tied_ && name == kHead ? kEmbedding : name;
}

const StoredLocation& Weights::location(const std::string& key) const {
  const auto found = index_.find(key);
  require(found != index_.end(), "a weight that was not checked for: " + key);
  return found->second;
}

std::int64_t Weights::bytes_of(const StoredLocation& stored) const {
  return stored.shape.elements() * static_cast<std::int64_t>(dtype_size(compute_));
}

std::int64_t Weights::rows_of(const std::string& name) const {
  return location(stored_name(name)).shape[0];
}

void Weights::refuse(const std::string& key) const {
  throw Error("holds NaN or infinity", location(key).file.string() + ": " + key);
}

// In pieces: neither what is stored nor what it is rounded to is in memory whole.
at::Tensor Weights::load(const std::string& key, std::int64_t begin, std::int64_t count) const {
  const StoredLocation whole = location(key);
  const std::int64_t columns = whole.shape.elements() / whole.shape[0];
  std::vector<std::int64_t> sizes{count};
  for (int axis = 1; axis < whole.shape.rank(); ++axis) sizes.push_back(whole.shape[axis]);
  at::Tensor values = at::empty(sizes, torch_type(compute_));
  ask_for_huge_pages(values);
  const std::int64_t step = std::max<std::int64_t>(kPiece / columns, 1);
  for (std::int64_t done = 0; done < count; done += step) {
    const StoredLocation part = rows_at(whole, begin + done, std::min(step, count - done));
    const at::Tensor rounded = stored_values(part).to(torch_type(storage_));
    if (!all_finite(rounded)) refuse(key);
    values.narrow(0, done, part.shape[0]).copy_(rounded);
  }
  return values.to(device_);
}

// Lets go of what was used longest ago; what a replay still reads lives until it has.
void Weights::make_room(std::int64_t bytes) const {
  while (hold_ == Hold::one_layer && held_bytes_ + bytes > most_bytes_ && !held_.empty()) {
    const auto oldest = std::min_element(held_.begin(), held_.end(), [](const auto& a, const auto& b) {
      return a.second.used < b.second.used;
    });
    held_bytes_ -= static_cast<std::int64_t>(oldest->second.values.nbytes());
    held_.erase(oldest);
  }
  held_bytes_ += bytes;
}

at::Tensor Weights::get(const std::string& name) const {
  const std::string& key = stored_name(name);
  const std::int64_t bytes = bytes_of(location(key));
  if (hold_ == Hold::one_layer && bytes > most_bytes_) {
    if (bytes <= kWholeBytes) return load(key, 0, location(key).shape[0]);
    throw std::runtime_error(key + " is larger than a layer, and one layer is held (--stream)");
  }
  std::unique_lock lock(mutex_);
  loaded_.wait(lock, [&] { return !loading_.contains(key); });
  if (const auto found = held_.find(key); found != held_.end()) {
    found->second.used = ++clock_;
    return found->second.values;
  }
  make_room(bytes);
  loading_.insert(key);
  lock.unlock();
  at::Tensor values;
  std::exception_ptr problem;
  try {
    values = load(key, 0, location(key).shape[0]);
  } catch (...) {
    problem = std::current_exception();
  }
  lock.lock();
  loading_.erase(key);
  if (problem) {
    held_bytes_ -= bytes;
  } else {
    held_[key] = {values, ++clock_};
  }
  loaded_.notify_all();
  if (problem) std::rethrow_exception(problem);
  return values;
}

at::Tensor Weights::layer(int layer, const std::string& name) const {
  const std::string full = "model.layers." + std::to_string(layer) + "." + name;
  const bool has_bias =
      name == "self_attn.q_proj.bias" || name == "self_attn.k_proj.bias" || name == "self_attn.v_proj.bias";
  if (name.ends_with(".bias") && !has_bias) return {};
  return get(full);
}

at::Tensor Weights::rows(const std::string& name, std::int64_t begin, std::int64_t count) const {
  if (hold_ == Hold::all) return get(name).narrow(0, begin, count);
  return load(stored_name(name), begin, count);
}

at::Tensor Weights::gathered(const std::string& name, const at::Tensor& ids) const {
  if (hold_ == Hold::all) return ops::embedding(ids, get(name));
  const std::string& key = stored_name(name);
  check_finite(key);
  std::vector<at::Tensor> found;
  for (std::int64_t i = 0; i < ids.numel(); ++i) found.push_back(load(key, ids[i].item<std::int64_t>(), 1));
  return at::cat(found);
}

// Whole tensors are checked as they are read; of a gathered one most rows would never be.
void Weights::check_finite(const std::string& key) const {
  {
    const std::lock_guard lock(mutex_);
    if (finite_.contains(key)) return;
  }
  const StoredLocation whole = location(key);
  const std::int64_t rows = whole.shape[0];
  const std::int64_t step = std::max<std::int64_t>(kPiece * rows / whole.shape.elements(), 1);
  for (std::int64_t begin = 0; begin < rows; begin += step) {
    const StoredLocation part = rows_at(whole, begin, std::min(step, rows - begin));
    if (!all_finite(stored_values(part).to(torch_type(storage_)))) refuse(key);
  }
  const std::lock_guard lock(mutex_);
  finite_.insert(key);
}

const std::string& Weights::hash() const {
  const std::lock_guard lock(mutex_);
  if (hash_.empty()) hash_ = hash_checkpoint(index_);
  return hash_;
}

}  // namespace plumbline::reference
