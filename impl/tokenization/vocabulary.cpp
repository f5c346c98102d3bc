#include "impl/tokenization/vocabulary.h"

#include "harness/error.h"

namespace plumbline::native {

void Vocabulary::set(TokenId id, std::string_view bytes) {
  require(id >= 0 && bytes_.size() + bytes.size() <= UINT32_MAX, "a vocabulary beyond 4 GiB");
  const auto index = static_cast<std::size_t>(id);
  if (index >= places_.size()) places_.resize(index + 1);
  places_[index] = {static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(bytes.size())};
  bytes_ += bytes;
}

}  // namespace plumbline::native
