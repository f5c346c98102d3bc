#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "harness/parallel.h"

using namespace plumbline;

TEST_CASE("parallel_for: every piece runs once, whatever the number of threads") {
  const int threads = GENERATE(0, 1, 2, 7);
  for (const std::size_t count : {0u, 1u, 2u, 100u}) {
    std::vector<std::atomic<int>> runs(count);
    parallel_for(count, threads, [&](std::size_t i) { ++runs[i]; });
    for (const std::atomic<int>& each : runs) CHECK(each == 1);
    CHECK(runs.size() == count);
  }
}

TEST_CASE("parallel_for: pieces do run at the same time") {
  std::atomic<int> arrived{0};
  parallel_for(2, 2, [&](std::size_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();  // never ends on one thread
  });
  CHECK(arrived == 2);
}

TEST_CASE("parallel_for: the exception of the lowest piece comes out, after all have ended") {
  std::atomic<int> ended{0};
  const auto work = [&](std::size_t i) {
    ++ended;
    if (i == 3 || i == 17) throw std::runtime_error("piece " + std::to_string(i));
  };
  CHECK_THROWS_WITH(parallel_for(40, 4, work), "piece 3");
  CHECK(ended == 40);
  parallel_for(5, 4, [&](std::size_t) { ++ended; });  // and the next call works
  CHECK(ended == 45);
}

TEST_CASE("parallel_for: a call from within a piece ends") {
  std::atomic<int> inner{0};
  parallel_for(4, 2, [&](std::size_t) { parallel_for(10, 2, [&](std::size_t) { ++inner; }); });
  CHECK(inner == 40);
}
