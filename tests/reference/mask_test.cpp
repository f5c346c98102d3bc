#include "reference/mask.h"

#include <catch2/catch.hpp>

using namespace plumbline;

namespace {

std::string rows_of(const Tensor& mask) {
  std::string text;
  for (std::int64_t i = 0; i < mask.elements(); ++i) {
    if (i > 0 && i % mask.shape()[1] == 0) text += " ";
    text += element_as_f64(mask.view(), i) != 0.0 ? "1" : "0";
  }
  return text;
}

}  // namespace

TEST_CASE("mask: causal, and the diagonal ends at the bottom right", "[reference][mask]") {
  CHECK(rows_of(reference::allowed_mask(3, 0, std::nullopt)) == "100 110 111");
  CHECK(rows_of(reference::allowed_mask(2, 3, std::nullopt)) == "11110 11111");
}

TEST_CASE("mask: a window of W shows exactly W keys, itself included", "[reference][mask]") {
  CHECK(rows_of(reference::allowed_mask(4, 0, 2)) == "1000 1100 0110 0011");
  CHECK(rows_of(reference::allowed_mask(2, 3, 3)) == "01110 00111");
  CHECK(rows_of(reference::allowed_mask(2, 1, 1)) == "010 001");
  CHECK_THROWS_AS(reference::allowed_mask(2, 0, 0), InternalError);
}

TEST_CASE("mask: positions count on from the cache", "[reference][mask]") {
  const Tensor positions = reference::position_ids(5, 3);
  CHECK(positions.dtype() == DType::i64);
  CHECK(positions.values<std::int64_t>()[0] == 5);
  CHECK(positions.values<std::int64_t>()[2] == 7);
}

TEST_CASE("mask: left-padded positions are cumsum(mask) - 1", "[reference][mask]") {
  const std::vector<std::uint8_t> real{0, 0, 1, 1, 1, 1, 1, 1};
  const Tensor mask = Tensor::from<std::uint8_t>(DType::boolean, {2, 4}, real);
  const Tensor positions = reference::left_padded_positions(mask.view());
  const std::vector<std::int64_t> expected{-1, -1, 0, 1, 0, 1, 2, 3};
  for (std::size_t i = 0; i < 8; ++i) CHECK(positions.values<std::int64_t>()[i] == expected[i]);
}
