// Memory that is not there, as an Error that says how much was wanted and for what.
#pragma once

#include <cstdint>
#include <new>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {

// What body() gives. Throws Error where there is no memory for `what`, of so many bytes.
template <typename Body>
auto with_memory(std::string_view what, std::int64_t bytes, std::string_view where, std::string_view hint,
                 const Body& body) {
  const auto refuse = [&] {
    return Error(fmt::format("there is no memory for {}: {} bytes", what, bytes), where, hint);
  };
  try {
    return body();
  } catch (const std::bad_alloc&) {
    throw refuse();
  } catch (const std::length_error&) {
    throw refuse();  // more than a vector may ever hold
  }
}

// Makes room for [rows, width] floats of a forward pass: `what` of so many rows.
inline void resize_floats(std::vector<float>& floats, std::int64_t rows, std::int64_t width,
                          std::string_view what) {
  const std::int64_t count = rows * width;
  with_memory(what, count * static_cast<std::int64_t>(sizeof(float)), "forward",
              "fewer tokens at a time need less", [&] { floats.resize(static_cast<std::size_t>(count)); });
}

}  // namespace plumbline::native
