#include "harness/tensor_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace plumbline {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::uint64_t kLargestHeader = 256ull << 20;
constexpr int kDeepestJson = 16;

// Tensors that follow each other.
class Header {
 public:
  explicit Header(const std::map<std::string, std::string>& metadata) { json_["__metadata__"] = metadata; }
  void add(const std::string& name, DType dtype, const Shape& shape) {
    std::vector<std::int64_t> sizes;
    for (int axis = 0; axis < shape.rank(); ++axis) sizes.push_back(shape[axis]);
    const std::uint64_t end = offset_ + static_cast<std::uint64_t>(shape.elements()) * dtype_size(dtype);
    json_[name] = {{"dtype", std::string(dtype_safetensors_name(dtype))},
                   {"shape", sizes},
                   {"data_offsets", {offset_, end}}};
    offset_ = end;
  }
  std::string text() const { return json_.dump(); }

 private:
  Json json_;
  std::uint64_t offset_ = 0;
};

std::string header_of(const std::map<std::string, std::string>& metadata,
                      const std::vector<NamedView>& tensors) {
  Header header(metadata);
  for (const auto& [name, view] : tensors) header.add(name, view.dtype, view.shape);
  std::string text = header.text();
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data starts aligned
  return text;
}

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : where_(path.string()) {
    std::error_code status;
    if (!std::filesystem::is_regular_file(path, status))
      fail("no such file", "a .safetensors file is asked for");
    file_.open(path, std::ios::binary);
    size_ = std::filesystem::file_size(path, status);
    if (!file_ || status) fail("cannot be read", "check its permissions");
  }

  struct Entry {
    std::string name;
    DType dtype;
    Shape shape;
    std::uint64_t begin, end;  // bytes of the file
  };
  struct Contents {
    std::map<std::string, std::string> metadata;
    std::vector<Entry> tensors;
  };

  Contents read_contents() {
    const Json header = read_header();
    Contents made;
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        read_metadata(entry, made.metadata);
      } else {
        made.tensors.push_back(read_entry(name, entry));
      }
    }
    return made;
  }

  Tensor read_tensor(const Entry& entry) {
    Tensor tensor(entry.dtype, entry.shape);
    file_.seekg(static_cast<std::streamoff>(entry.begin));
    file_.read(static_cast<char*>(tensor.mutable_view().mutable_data),
               static_cast<std::streamsize>(entry.end - entry.begin));
    if (!file_) fail(entry.name + ": cannot be read");
    return tensor;
  }

  std::uint64_t size() const { return size_; }
  [[noreturn]] void fail(const std::string& what, std::string_view hint = {}) const {
    throw Error(what, where_, hint);
  }

 private:
  Json read_header() {
    std::uint64_t length = 0;
    if (size_ < sizeof length) fail(fmt::format("only {} bytes long: no safetensors header", size_));
    file_.read(reinterpret_cast<char*>(&length), sizeof length);
    if (length > size_ - sizeof length || length > kLargestHeader) {
      fail(fmt::format("header claims {} bytes, the file has {}", length, size_), "truncated?");
    }
    data_start_ = sizeof length + length;
    std::string text(length, '\0');
    file_.read(text.data(), static_cast<std::streamsize>(length));
    if (!file_) fail("cannot be read to the end of its header");
    bool too_deep = false;
    std::set<std::string> names;
    Json header = Json::parse(
        text,
        [&](int depth, Json::parse_event_t event, Json& value) {
          too_deep = too_deep || depth > kDeepestJson;
          const bool is_name = depth == 1 && event == Json::parse_event_t::key && !too_deep;
          if (is_name && !names.insert(value.get<std::string>()).second) {
            fail("names '" + value.get<std::string>() + "' twice");
          }
          return !too_deep;
        },
        false);
    if (too_deep || header.is_discarded() || !header.is_object()) fail("header is not a JSON object");
    return header;
  }

  void read_metadata(const Json& entry, std::map<std::string, std::string>& metadata) const {
    if (!entry.is_object()) fail("__metadata__ is not an object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) fail("metadata '" + key + "' is not a string");
      metadata[key] = value.get<std::string>();
    }
  }

  Entry read_entry(const std::string& name, const Json& entry) {
    const auto bad = [&](const std::string& what) { fail(name + ": " + what); };
    if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
        !entry.contains("data_offsets")) {
      bad("entry lacks dtype, shape or data_offsets");
    }
    DType dtype{};
    if (!entry["dtype"].is_string() ||
        !dtype_from_safetensors_name(entry["dtype"].get<std::string>(), dtype)) {
      bad("dtype " + entry["dtype"].dump() + " is not known");
    }
    const std::uint64_t available = size_ - data_start_;
    const Shape shape = read_shape(entry["shape"], available, bad);
    const Json& offsets = entry["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      bad("data_offsets are not two whole numbers");
    }
    const auto begin = offsets[0].get<std::uint64_t>();
    const auto end = offsets[1].get<std::uint64_t>();
    if (begin > end || end > available) {
      bad(fmt::format("data_offsets [{}, {}] leave the file's {} data bytes", begin, end, available));
    }
    if (end - begin != static_cast<std::uint64_t>(shape.elements()) * dtype_size(dtype)) {
      bad(fmt::format("{} bytes do not hold {} {}", end - begin, shape.to_string(), dtype_name(dtype)));
    }
    claimed_ += end - begin;  // tensors that share bytes could claim far more memory than the file has
    if (claimed_ > available) bad("overlaps another tensor");
    return {name, dtype, shape, data_start_ + begin, data_start_ + end};
  }

  // The product of the sizes is kept within the file's length, so nothing overflows or over-allocates.
  template <typename Bad>
  static Shape read_shape(const Json& sizes, std::uint64_t available, const Bad& bad) {
    if (!sizes.is_array() || sizes.size() > Shape::kMaxRank) bad("shape is not a list of at most four sizes");
    Shape shape;
    std::uint64_t elements = 1;
    for (const Json& size : sizes) {
      if (!size.is_number_unsigned()) bad("shape " + sizes.dump() + " has a size that is no whole number");
      const auto value = size.get<std::uint64_t>();
      if (__builtin_mul_overflow(elements, value, &elements) || value > available || elements > available) {
        bad("shape " + sizes.dump() + " is larger than the file");
      }
      shape.append(static_cast<std::int64_t>(value));
    }
    return shape;
  }

  std::string where_;
  std::ifstream file_;
  std::uint64_t size_ = 0;
  std::uint64_t data_start_ = 0;
  std::uint64_t claimed_ = 0;  // bytes of the tensors read so far
};

}  // namespace

TensorFile read_tensor_file(const std::filesystem::path& path) {
  Reader reader(path);
  Reader::Contents contents = reader.read_contents();
  TensorFile file{std::move(contents.metadata), {}};
  for (const Reader::Entry& entry : contents.tensors) {
    file.tensors.push_back({entry.name, reader.read_tensor(entry)});
  }
  return file;
}

MappedTensorFile::MappedTensorFile(const std::filesystem::path& path) {
  Reader reader(path);
  Reader::Contents contents = reader.read_contents();
  metadata_ = std::move(contents.metadata);
  size_ = reader.size();
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  void* mapped = descriptor < 0 ? MAP_FAILED
                                : ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
                                         descriptor, 0);
  const int problem = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (mapped == MAP_FAILED) reader.fail(fmt::format("cannot be read: {}", std::strerror(problem)));
  data_ = mapped;
  for (const Reader::Entry& entry : contents.tensors) {
    const std::byte* bytes = static_cast<const std::byte*>(data_) + entry.begin;
    if (entry.begin % dtype_size(entry.dtype) == 0) {
      tensors_.push_back({entry.name, TensorView(bytes, entry.dtype, entry.shape)});
    } else {
      copies_.push_back(Tensor(entry.dtype, entry.shape));
      std::memcpy(copies_.back().mutable_view().mutable_data, bytes, entry.end - entry.begin);
      tensors_.push_back({entry.name, copies_.back().view()});
    }
  }
}

MappedTensorFile::~MappedTensorFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

void write_tensor_file(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<NamedView>& tensors) {
  const std::string header = header_of(metadata, tensors);
  OutputFile file(path);
  const std::uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const auto& [name, view] : tensors) {
    require(view.is_contiguous() && view.device.kind == DeviceKind::cpu,
            "write_tensor_file: not a host tensor");
    const auto bytes = static_cast<std::size_t>(view.elements()) * dtype_size(view.dtype);
    file.write({static_cast<const std::byte*>(view.data), bytes});
  }
  file.keep();
}

TensorFileWriter::TensorFileWriter(const std::filesystem::path& path, std::size_t header_room)
    : file_(path), header_room_((header_room + 7) / 8 * 8) {
  file_.write(std::string(sizeof(std::uint64_t) + header_room_, ' '));
}

void TensorFileWriter::write(const std::string& name, const TensorView& view) {
  const auto size = static_cast<std::size_t>(view.elements()) * dtype_size(view.dtype);
  file_.write({static_cast<const std::byte*>(view.data), size});
  written_.push_back({name, view.dtype, view.shape});
  bytes_ += size;
}

void TensorFileWriter::add(const std::string& name, const TensorView& view) {
  require(view.is_contiguous() && view.device.kind == DeviceKind::cpu, "TensorFileWriter: not a host tensor");
  // One byte each: whatever came after them would lie at odd places.
  if (dtype_size(view.dtype) == 1 || bytes_ % dtype_size(view.dtype) != 0) {
    waiting_.push_back({name, copy_host(view)});
  } else {
    write(name, view);
  }
}

void TensorFileWriter::keep(const std::map<std::string, std::string>& metadata) {
  for (const NamedTensor& each : waiting_) write(each.name, each.tensor.view());
  waiting_.clear();
  Header header(metadata);
  for (const Written& each : written_) header.add(each.name, each.dtype, each.shape);
  std::string text = header.text();
  require(text.size() <= header_room_, "TensorFileWriter: more tensors than there is room for");
  text.append(header_room_ - text.size(), ' ');
  const std::uint64_t length = header_room_;
  file_.write_at(0, std::as_bytes(std::span(&length, 1)));
  file_.write_at(sizeof length, std::as_bytes(std::span(text)));
  file_.keep();
}

}  // namespace plumbline
