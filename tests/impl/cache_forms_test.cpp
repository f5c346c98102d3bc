// What every form of cache holds, against a plain list of tokens.
#include <limits>
#include <numeric>
#include <random>

#include <catch2/catch.hpp>

#include "tests/impl/cache_support.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr CacheShape kShape{2, 3, 4};
constexpr std::int64_t kCapacity = 13, kPrefill = 6;
constexpr int kSequences = 3;

// The lists that a cache should hold, and the rule of the two buffers.
struct Expected {
  struct Sequence {
    std::vector<int> prefill, later;
  };
  std::vector<Sequence> sequences{kSequences};

  std::vector<int> all(int sequence) const {
    std::vector<int> tokens = sequences[static_cast<std::size_t>(sequence)].prefill;
    const auto& later = sequences[static_cast<std::size_t>(sequence)].later;
    tokens.insert(tokens.end(), later.begin(), later.end());
    return tokens;
  }
  // False where there is no room; forgets what a ring forgets.
  bool add(int sequence, const std::vector<int>& tokens, const CacheSpec& spec) {
    Sequence& s = sequences[static_cast<std::size_t>(sequence)];
    const bool first = s.prefill.empty() && s.later.empty();
    const auto room = static_cast<std::size_t>(spec.prefill_capacity) - s.prefill.size();
    if (s.later.empty() && (first || tokens.size() > 1) && tokens.size() <= room) {
      s.prefill.insert(s.prefill.end(), tokens.begin(), tokens.end());
      return true;
    }
    const auto slots = static_cast<std::size_t>(spec.capacity - spec.prefill_capacity);
    const bool full = spec.kind == CacheKind::fixed && s.later.size() + tokens.size() > slots;
    if (full && (spec.when_full == WhenFull::error || tokens.size() > slots)) return false;
    s.later.insert(s.later.end(), tokens.begin(), tokens.end());
    if (full) s.later.erase(s.later.begin(), s.later.end() - static_cast<std::ptrdiff_t>(slots));
    return true;
  }
  void forget(int sequence, std::int64_t begin, std::int64_t end) {
    Sequence& s = sequences[static_cast<std::size_t>(sequence)];
    for (std::int64_t index = end - 1; index >= begin; --index) {
      const auto split = static_cast<std::int64_t>(s.prefill.size());
      if (index < split) {
        s.prefill.erase(s.prefill.begin() + index);
      } else {
        s.later.erase(s.later.begin() + index - split);
      }
    }
  }
};

// Random steps, crops, evictions, forks and clears; free slots hold NaN before each.
int wrong_after(const CacheSpec& spec, unsigned seed, int& refused) {
  const auto cache = make_native_cache(spec, kShape, 1);
  Expected expected;
  std::mt19937 random(seed);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  int next_token = 0;
  for (int i = 0; i < 120; ++i) {
    cache->fill_free_slots(std::numeric_limits<float>::quiet_NaN());
    const auto sequence = static_cast<SequenceId>(below(kSequences));
    const std::int64_t held = cache->length(sequence);
    const std::int64_t what = below(10);
    if (what < 6) {
      std::vector<int> tokens(static_cast<std::size_t>(what < 3 ? 1 : 1 + below(5)));
      std::iota(tokens.begin(), tokens.end(), next_token);
      const bool room = expected.add(sequence, tokens, spec);
      const std::string error = error_of([&] { update_marked(*cache, sequence, tokens); });
      if (room != error.empty()) return i;
      refused += error.empty() ? 0 : 1;
      next_token = (next_token + static_cast<int>(tokens.size())) % 200;
    } else if (what == 6) {
      const std::int64_t length = below(held + 1);
      cache->crop(sequence, length);
      expected.forget(sequence, length, held);
    } else if (what == 7) {
      const std::int64_t begin = below(held + 1), end = begin + below(held - begin + 1);
      cache->evict(sequence, begin, end);
      expected.forget(sequence, begin, end);
    } else if (what == 8) {
      const auto to = static_cast<SequenceId>(below(kSequences));
      cache->fork(sequence, to);
      expected.sequences[static_cast<std::size_t>(to)] =
          expected.sequences[static_cast<std::size_t>(sequence)];
    } else if (below(4) == 0) {
      cache->clear(sequence);
      expected.forget(sequence, 0, held);
    }
    for (int each = 0; each < kSequences; ++each) {
      if (!holds(*cache, each, expected.all(each))) return i;
    }
  }
  return -1;
}

}  // namespace

TEST_CASE("cache: every form holds what a list of tokens would, over random histories") {
  int refused = 0, forms = 0;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    auto specs = all_forms(kSequences, kCapacity, kPrefill, dtype);
    const auto rings = all_rings(kSequences, kCapacity, kPrefill, dtype);
    specs.insert(specs.end(), rings.begin(), rings.end());
    for (const CacheSpec& spec : specs) {
      for (const unsigned seed : {1u, 2u}) {
        INFO(form_name(spec) << ", seed " << seed);
        CHECK(wrong_after(spec, seed, refused) == -1);
        ++forms;
      }
    }
  }
  CHECK(forms == 3 * (27 + 18) * 2);
  CHECK(refused > 100);
}

TEST_CASE("cache: bytes are those of the slots, and halve with the dtype") {
  const std::vector<int> five{0, 1, 2, 3, 4};
  const std::int64_t token = 2 * kShape.layers * kShape.row();  // elements
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const auto size = static_cast<std::int64_t>(dtype_size(dtype));
    for (const CacheSpec& spec : all_forms(kSequences, kCapacity, kPrefill, dtype)) {
      INFO(form_name(spec));
      const auto cache = make_native_cache(spec, kShape, 1);
      const bool fixed = spec.kind == CacheKind::fixed;
      const std::int64_t all = kSequences * kCapacity * token * size;
      CHECK(cache->bytes() == (fixed ? all : 0));
      update_marked(*cache, 1, five);
      const std::int64_t grown = (5 + 16) * token * size;  // 16 slots to spare
      CHECK(cache->bytes() == (fixed ? all : grown));
      cache->crop(1, 2);
      CHECK(cache->bytes() == (fixed ? all : grown));  // its slots are free, and kept
      cache->clear(1);
      CHECK(cache->bytes() == (fixed ? all : 0));
    }
  }
}
