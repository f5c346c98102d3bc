#include "impl/rng.h"

#include <charconv>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {
namespace {

// The multipliers and the Weyl increments of the paper's table 2.
constexpr std::uint32_t kMultiplier0 = 0xD2511F53;
constexpr std::uint32_t kMultiplier1 = 0xCD9E8D57;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9;
constexpr std::uint32_t kWeyl1 = 0xBB67AE85;
constexpr int kRounds = 10;
constexpr std::string_view kName = "philox4x32-10";

std::uint32_t low(std::uint64_t x) {
  return static_cast<std::uint32_t>(x);
}
std::uint32_t high(std::uint64_t x) {
  return static_cast<std::uint32_t>(x >> 32);
}

}  // namespace

PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t product0 = std::uint64_t{kMultiplier0} * counter[0];
    const std::uint64_t product1 = std::uint64_t{kMultiplier1} * counter[2];
    counter = {high(product1) ^ counter[1] ^ key[0], low(product1), high(product0) ^ counter[3] ^ key[1],
               low(product0)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

double uniform(std::uint64_t seed, std::uint64_t row, std::uint64_t step) {
  const PhiloxCounter bits =
      philox4x32({low(step), high(step), low(row), high(row)}, {low(seed), high(seed)});
  const std::uint64_t word = (std::uint64_t{bits[1]} << 32) | bits[0];
  return static_cast<double>(word >> 11) * 0x1p-53;
}

std::string UniformStream::save() const {
  return fmt::format("{} {} {} {}", kName, seed, row, step);
}

UniformStream UniformStream::restore(std::string_view text) {
  const auto refuse = [&] {
    throw Error(fmt::format("'{}' is no saved random stream", text.substr(0, 80)), "random stream",
                fmt::format("it reads: {} SEED ROW STEP", kName));
  };
  if (!text.starts_with(kName)) refuse();
  UniformStream stream;
  const char* at = text.data() + kName.size();
  const char* const end = text.data() + text.size();
  for (std::uint64_t* number : {&stream.seed, &stream.row, &stream.step}) {
    if (at == end || *at != ' ') refuse();
    const auto [next, problem] = std::from_chars(at + 1, end, *number);
    if (problem != std::errc()) refuse();
    at = next;
  }
  if (at != end) refuse();
  return stream;
}

}  // namespace plumbline::native
