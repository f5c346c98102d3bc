// The tokens of a vocabulary: their bytes by id, in one block of memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "harness/model.h"

namespace plumbline::native {

class Vocabulary {
 public:
  // `id` from 0; the last bytes given for an id stay.
  void set(TokenId id, std::string_view bytes);

  std::int64_t size() const { return static_cast<std::int64_t>(places_.size()); }  // highest id + 1
  // Nothing for an id that no token has. `id` from 0 to size() - 1; valid until the next set().
  std::string_view bytes(TokenId id) const {
    const Place place = places_[static_cast<std::size_t>(id)];
    return {bytes_.data() + place.begin, place.length};
  }

 private:
  struct Place {
    std::uint32_t begin = 0;
    std::uint32_t length = 0;
  };
  std::string bytes_;
  std::vector<Place> places_;  // by id
};

}  // namespace plumbline::native
