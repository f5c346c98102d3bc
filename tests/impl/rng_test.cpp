#include "impl/rng.h"

#include <cmath>

#include <catch2/catch.hpp>

#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

TEST_CASE("rng: Philox4x32-10 gives the known answers of Random123") {
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t ones = 0xffffffff;
  CHECK(philox4x32({ones, ones, ones, ones}, {ones, ones}) ==
        PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("rng: uniforms lie in [0, 1), have the right mean, and depend on seed, row and step") {
  double sum = 0;
  bool inside = true;
  for (std::uint64_t step = 0; step < 10'000; ++step) {
    const double u = uniform(1, 0, step);
    inside = inside && u >= 0 && u < 1;
    sum += u;
  }
  CHECK(inside);
  CHECK(std::fabs(sum / 10'000 - 0.5) < 0.01);  // standard error 0.003
  CHECK(uniform(1, 0, 0) == uniform(1, 0, 0));
  CHECK(uniform(1, 0, 0) != uniform(2, 0, 0));
  CHECK(uniform(1, 0, 0) != uniform(1, 1, 0));
  CHECK(uniform(1, 0, 0) != uniform(1, 0, 1));
  CHECK(uniform(std::uint64_t{1} << 32, 0, 0) != uniform(0, 0, 0));
  CHECK(uniform(1, std::uint64_t{1} << 32, 0) != uniform(1, 0, 0));
  CHECK(uniform(1, 0, std::uint64_t{1} << 32) != uniform(1, 0, 0));
}

TEST_CASE("rng: a stream is the uniforms of its row, and goes on where it was saved") {
  UniformStream stream{7, 3, 0};
  for (std::uint64_t step = 0; step < 5; ++step) CHECK(stream.next() == uniform(7, 3, step));
  CHECK(stream.save() == "philox4x32-10 7 3 5");
  UniformStream restored = UniformStream::restore(stream.save());
  CHECK(restored == stream);
  CHECK(restored.next() == uniform(7, 3, 5));
  const std::uint64_t largest = ~std::uint64_t{0};
  const UniformStream last{largest, largest, largest};
  CHECK(UniformStream::restore(last.save()) == last);
}

TEST_CASE("rng: what save() did not write is refused") {
  for (const char* text :
       {"", "philox4x32-10", "philox4x32-10 1 2", "philox4x32-10 1 2 3 4", "philox4x32-10 1 2 3 ",
        "philox4x32-10 1 2 -3", "philox4x32-10 1  2 3", "philox4x32-10 1 2 18446744073709551616",
        "philox4x32-7 1 2 3", "1 2 3", "philox4x32-10 1 2 x"}) {
    INFO(text);
    CHECK_THAT(error_of([&] { UniformStream::restore(text); }), Catch::Contains("no saved random stream"));
  }
}
