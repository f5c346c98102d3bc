// Memory that is not there, with the process's address space limited to little more than it has.
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include <catch2/catch.hpp>

#include "impl/cache.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr CacheShape kShape{1, 1, 1024};
constexpr std::int64_t kTokens = 10000;  // 82 MB of keys and values in f32

// While it lives, only 16 MB more can be had.
class LittleMemory {
 public:
  LittleMemory() {
    getrlimit(RLIMIT_AS, &before_);
    std::int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit little = before_;
    little.rlim_cur = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE) + (16 << 20));
    setrlimit(RLIMIT_AS, &little);
  }
  ~LittleMemory() { setrlimit(RLIMIT_AS, &before_); }
  LittleMemory(const LittleMemory&) = delete;
  LittleMemory& operator=(const LittleMemory&) = delete;

 private:
  rlimit before_{};
};

template <typename Body>
std::string error_without_memory(Body body) {
  const LittleMemory little;
  return error_of(body);
}

}  // namespace

// A sanitizer needs far more address space than it uses.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("cache: without memory for it, one is refused with its bytes; one that grows stays as it was") {
  CHECK_THAT(error_without_memory([] {
               make_native_cache({CacheKind::fixed, 1, kTokens}, kShape, 1);
             }),
             Catch::Contains("no memory for a capacity of 10000 tokens: 81920000 bytes"));
  const std::vector<float> rows = random_floats(static_cast<std::size_t>(kTokens * 1024), 1);
  const std::span<const float> few = std::span(rows).first(3 * 1024);
  const auto cache = make_native_cache({CacheKind::concat}, kShape, 1);
  cache->write_prefill(0, few, few);
  CHECK_THAT(error_without_memory([&] { cache->update(0, rows, rows); }),
             Catch::Contains("no memory for 10003 tokens of a layer: 81944576 bytes"));
  CHECK(cache->length(0) == 3);
  CHECK(same_bits(cache->read_key(0, 0).values<float>(), few));
  cache->update(0, rows, rows);
  CHECK(cache->length(0) == 3 + kTokens);
}
#endif
