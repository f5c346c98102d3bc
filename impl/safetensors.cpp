#include "impl/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/error.h"
#include "impl/json.h"

namespace plumbline::native {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeader = 100'000'000;  // the format's own limit

struct Range {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

std::uint64_t unsigned_integer(const nlohmann::json& value, const char* what, const std::string& where) {
  if (!value.is_number_unsigned()) {
    throw Error(fmt::format("{} must be an integer that is not negative, not {}", what, value.dump()), where);
  }
  return value.get<std::uint64_t>();
}

Shape read_shape(const nlohmann::json& entry, const std::string& where) {
  const auto found = entry.find("shape");
  if (found == entry.end() || !found->is_array()) throw Error("has no shape", where);
  if (found->size() > static_cast<std::size_t>(Shape::kMaxRank)) {
    throw Error(fmt::format("has {} axes, more than {}", found->size(), Shape::kMaxRank), where);
  }
  Shape shape;
  std::uint64_t elements = 1;
  for (const nlohmann::json& size : *found) {
    const std::uint64_t value = unsigned_integer(size, "shape", where);
    if (__builtin_mul_overflow(elements, value, &elements) || elements > (std::uint64_t{1} << 60)) {
      throw Error(fmt::format("has an impossible shape {}", found->dump()), where);
    }
    shape.append(static_cast<std::int64_t>(value));
  }
  return shape;
}

Range read_range(const nlohmann::json& entry, std::uint64_t data_size, const std::string& where) {
  const auto found = entry.find("data_offsets");
  if (found == entry.end() || !found->is_array() || found->size() != 2) {
    throw Error("has no data_offsets [begin, end]", where);
  }
  const Range range{unsigned_integer((*found)[0], "data_offsets", where),
                    unsigned_integer((*found)[1], "data_offsets", where)};
  const bool inside = range.begin <= range.end && range.end <= data_size;
  if (!inside) {
    throw Error(
        fmt::format("has data_offsets {}, outside the {} bytes of the file", found->dump(), data_size), where,
        "is the file cut short?");
  }
  return range;
}

SafetensorsEntry read_entry(const nlohmann::json& entry, std::span<const std::byte> data, Range& range,
                            const std::string& where) {
  if (!entry.is_object()) throw Error("is not a JSON object", where);
  const auto dtype_name = entry.find("dtype");
  if (dtype_name == entry.end() || !dtype_name->is_string()) throw Error("has no dtype", where);
  SafetensorsEntry made;
  if (!dtype_from_safetensors_name(dtype_name->get<std::string>(), made.dtype)) {
    throw Error(fmt::format("has the unknown dtype '{}'", dtype_name->get<std::string>()), where);
  }
  made.shape = read_shape(entry, where);
  range = read_range(entry, data.size(), where);
  const std::uint64_t expected = static_cast<std::uint64_t>(made.shape.elements()) * dtype_size(made.dtype);
  if (range.end - range.begin != expected) {
    throw Error(fmt::format("has {} bytes, but {} {} needs {}", range.end - range.begin,
                            dtype_safetensors_name(made.dtype), made.shape.to_string(), expected),
                where);
  }
  made.bytes = data.subspan(range.begin, range.end - range.begin);
  return made;
}

// The format allows neither overlaps nor holes.
void check_cover(std::vector<std::pair<Range, std::string>> ranges, std::uint64_t data_size,
                 const std::string& where) {
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.begin, a.first.end) < std::pair(b.first.begin, b.first.end);
  });
  std::uint64_t covered = 0;
  for (const auto& [range, name] : ranges) {
    if (range.begin != covered) {
      throw Error(fmt::format("begins at byte {}, but the tensors before it end at {}", range.begin, covered),
                  where + ": " + name, range.begin < covered ? "overlapping tensors" : "a hole in the file");
    }
    covered = range.end;
  }
  if (covered != data_size) {
    throw Error(fmt::format("has {} bytes after its last tensor", data_size - covered), where);
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  const std::string where = path.string();
  const std::span<const std::byte> bytes = file_.bytes();
  if (bytes.size() < kLengthBytes) throw Error("is too short for a safetensors file", where);
  std::uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), kLengthBytes);
  if (header_size > kMaxHeader || header_size > bytes.size() - kLengthBytes) {
    throw Error(fmt::format("claims a header of {} bytes in a file of {}", header_size, bytes.size()), where,
                "is it a safetensors file?");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, header_size);
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + header_size);
  const nlohmann::json header = parse_json_object(text, where + ": header");
  std::vector<std::pair<Range, std::string>> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    Range range;
    tensors_.emplace(name, read_entry(entry, data, range, where + ": " + name));
    ranges.emplace_back(range, name);
  }
  check_cover(std::move(ranges), data.size(), where);
}

}  // namespace plumbline::native
