#include "impl/thread_pool.h"

#include <ctime>

#include <catch2/catch.hpp>

#include "harness/error.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

TEST_CASE("thread pool: runs every part once, whatever the grain and the number of threads") {
  for (const int threads : {1, 2, 7}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (int round = 0; round < 200; ++round) {
      const std::int64_t items = round % 23, grain = 1 + round % 5;
      std::vector<int> visits(static_cast<std::size_t>(items));
      pool.parallel_for(items, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
      });
      CHECK(std::count(visits.begin(), visits.end(), 1) == items);
    }
  }
}

TEST_CASE("thread pool: hands an exception to the caller and stays usable") {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    const auto loop = [&] {
      pool.parallel_for(100, 1, [](std::int64_t begin, std::int64_t) {
        if (begin == 42) throw Error("stop", "part 42");
      });
    };
    CHECK_THAT(error_of(loop), Catch::Contains("part 42"));
  }
  std::atomic<int> done{0};
  pool.parallel_for(10, 1, [&](std::int64_t, std::int64_t) { ++done; });
  CHECK(done == 10);
}

TEST_CASE("thread pool: idle threads use no processor time") {
  ThreadPool pool(8);
  pool.parallel_for(100, 1, [](std::int64_t, std::int64_t) {});
  const auto process_time = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  const double before = process_time();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  CHECK(process_time() - before < 0.05);  // one spinning thread would take 0.2
}
