// What the fuzz targets share: an input as a file, and the one way in which a loader may refuse it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "harness/error.h"

namespace plumbline::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline void write_file(const std::filesystem::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
}

// A loader takes its input or throws Error; whatever else it throws ends the fuzzer as a finding.
template <typename Load>
void try_load(const Load& load) {
  try {
    load();
  } catch (const Error&) {
  }
}

}  // namespace plumbline::fuzz
