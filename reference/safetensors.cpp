#include <algorithm>
#include <array>
#include <fstream>
#include <string>

#include "harness/error.h"
#include "reference/internal/checkpoint.h"
#include "reference/internal/json_fields.h"

namespace plumbline::reference {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kLongestHeader = 100'000'000;  // the format's own limit

struct File {
  std::ifstream stream;
  std::uint64_t size = 0;
};

File open_file(const std::filesystem::path& path) {
  File file;
  std::error_code failure;
  file.size = std::filesystem::file_size(path, failure);
  if (!failure) file.stream.open(path, std::ios::binary);
  if (failure || !file.stream) throw Error("cannot be read", path.string());
  return file;
}

std::string read_header_text(File& file, const std::filesystem::path& path) {
  std::array<unsigned char, kLengthBytes> bytes{};
  file.stream.read(reinterpret_cast<char*>(bytes.data()), kLengthBytes);
  if (!file.stream) throw Error("shorter than the 8 bytes of its header length", path.string());
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | bytes[static_cast<std::size_t>(i)];
  const bool ok = length <= kLongestHeader && length <= file.size - kLengthBytes;
  if (!ok)
    throw Error("header length " + std::to_string(length) + " exceeds the file", path.string(), "truncated?");
  std::string text(length, '\0');
  file.stream.read(text.data(), static_cast<std::streamsize>(length));
  if (!file.stream) throw Error("cannot be read", path.string());
  return text;
}

Shape parse_shape(const nlohmann::json& json, const std::string& where) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 56;  // times 8 bytes still fits
  if (!json.is_array() || json.size() > Shape::kMaxRank)
    throw Error("shape is no list of at most four sizes", where);
  Shape shape;
  std::int64_t elements = 1;
  for (const nlohmann::json& size : json) {
    const bool whole =
        size.is_number_unsigned() && size.get<std::uint64_t>() <= static_cast<std::uint64_t>(kLargest);
    if (!whole) throw Error("shape has a size that is no reasonable whole number", where);
    shape.append(size.get<std::int64_t>());
    const bool fits = __builtin_mul_overflow(elements, size.get<std::int64_t>(), &elements) == 0;
    if (!fits || elements > kLargest) throw Error("shape has too many elements", where);
  }
  return shape;
}

StoredLocation parse_entry(const nlohmann::json& json, std::uint64_t data_begin, std::uint64_t data_size,
                           const std::filesystem::path& path, const std::string& where) {
  StoredLocation entry;
  entry.file = path;
  if (!json.is_object()) throw Error("its header entry is no object", where);
  const JsonFields fields(json, where);
  if (!dtype_from_safetensors_name(fields.text("dtype", ""), entry.dtype)) {
    fields.refuse("dtype", "is not known here", "F32, F16, BF16, F64");
  }
  if (!json.contains("shape")) throw Error("has no shape", where);
  entry.shape = parse_shape(json.at("shape"), where);
  const nlohmann::json offsets = json.value("data_offsets", nlohmann::json());
  const bool pair = offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() &&
                    offsets[1].is_number_unsigned();
  if (!pair) throw Error("data_offsets is no pair of whole numbers", where);
  const auto begin = offsets[0].get<std::uint64_t>();
  const auto end = offsets[1].get<std::uint64_t>();
  if (!(begin <= end && end <= data_size)) throw Error("its bytes leave the file", where, "truncated?");
  const auto needed = static_cast<std::uint64_t>(entry.shape.elements()) * dtype_size(entry.dtype);
  if (end - begin != needed) {
    throw Error(std::to_string(end - begin) + " bytes do not make shape " + entry.shape.to_string() + " of " +
                    std::string(dtype_safetensors_name(entry.dtype)),
                where);
  }
  entry.begin = data_begin + begin;
  entry.size = end - begin;
  return entry;
}

// The format wants the data covered without overlap, gap or rest.
void refuse_bad_cover(const TensorIndex& index, std::uint64_t data_begin, std::uint64_t file_size,
                      const std::filesystem::path& path) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const auto& [name, entry] : index) {
    if (entry.size > 0) ranges.emplace_back(entry.begin, entry.begin + entry.size);
  }
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t end = data_begin;
  for (const auto& [first, last] : ranges) {
    if (first < end) throw Error("two tensors overlap", path.string());
    if (first > end) throw Error("has a gap of " + std::to_string(first - end) + " bytes", path.string());
    end = last;
  }
  if (end != file_size) {
    throw Error(std::to_string(file_size - end) + " bytes follow the last tensor", path.string());
  }
}

}  // namespace

TensorIndex read_safetensors_header(const std::filesystem::path& path) {
  File file = open_file(path);
  const std::string text = read_header_text(file, path);
  const nlohmann::json header = parse_json_object(text, path.string() + ": header");
  const std::uint64_t data_begin = kLengthBytes + text.size();
  TensorIndex index;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    index[name] = parse_entry(entry, data_begin, file.size - data_begin, path, path.string() + ": " + name);
  }
  refuse_bad_cover(index, data_begin, file.size, path);
  return index;
}

void read_tensor(const StoredLocation& location, std::span<std::byte> out) {
  require(out.size() == location.size, "read_tensor: the destination has another size");
  File file = open_file(location.file);
  file.stream.seekg(static_cast<std::streamoff>(location.begin));
  file.stream.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()));
  if (!file.stream) throw Error("ends before a tensor does", location.file.string(), "truncated?");
}

TensorPieces::TensorPieces(const StoredLocation& location)
    : path_(location.file), stream_(open_file(location.file).stream), left_(location.size) {
  stream_.seekg(static_cast<std::streamoff>(location.begin));
}

std::span<const std::byte> TensorPieces::next() {
  constexpr std::uint64_t kPiece = 1 << 20;
  piece_.resize(std::min(left_, kPiece));
  stream_.read(reinterpret_cast<char*>(piece_.data()), static_cast<std::streamsize>(piece_.size()));
  if (!stream_) throw Error("ends before a tensor does", path_.string(), "truncated?");
  left_ -= piece_.size();
  return piece_;
}

}  // namespace plumbline::reference
