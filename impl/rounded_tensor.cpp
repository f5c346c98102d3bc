#include "impl/rounded_tensor.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/half.h"

namespace plumbline::native {

const SafetensorsEntry& checked_tensor(const Checkpoint& checkpoint, const std::string& name) {
  const auto found = checkpoint.tensors().find(name);
  require(found != checkpoint.tensors().end(), "model weights: the checkpoint was not checked");
  return found->second;
}

void for_rounded_chunks(const Checkpoint& checkpoint, const std::string& name, DType storage,
                        const std::function<void(std::int64_t, std::span<const float>)>& chunk) {
  constexpr std::int64_t kChunk = 4096;
  const SafetensorsEntry& tensor = checked_tensor(checkpoint, name);
  const std::int64_t count = tensor.shape.elements();
  std::vector<float> wide(kChunk);
  std::vector<std::byte> narrowed(kChunk * sizeof(float));
  for (std::int64_t first = 0; first < count; first += kChunk) {
    const std::int64_t size = std::min(kChunk, count - first);
    const std::span<const float> values(wide.data(), static_cast<std::size_t>(size));
    widen(tensor.dtype, tensor.bytes.data() + first * static_cast<std::int64_t>(dtype_size(tensor.dtype)),
          size, wide.data());
    narrow(storage, wide.data(), size, narrowed.data());
    widen(storage, narrowed.data(), size, wide.data());
    if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) {
      throw Error(fmt::format("has values that are infinite in {}", dtype_name(storage)),
                  checkpoint.where(name), "a storage dtype of a larger range");
    }
    chunk(first, values);
  }
}

}  // namespace plumbline::native
