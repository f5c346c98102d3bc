// Tensors as the harness sees them: views that name their device, and owning host tensors.
//
// A view is strided and at most four-dimensional, and holds no allocation, so that an engine can hand one to
// a probe sink at no cost. Nothing here computes.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "harness/dtype.h"
#include "harness/error.h"

namespace plumbline {

enum class DeviceKind : std::uint8_t { cpu, cuda };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};
std::string device_name(Device device);  // "cpu", "cuda:0"

// Sizes along each axis; inline, at most kMaxRank of them.
class Shape {
 public:
  static constexpr int kMaxRank = 4;
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes);
  explicit Shape(std::span<const std::int64_t> sizes);

  int rank() const { return rank_; }
  std::int64_t operator[](int axis) const { return sizes_[static_cast<std::size_t>(axis)]; }
  void set(int axis, std::int64_t size) { sizes_[static_cast<std::size_t>(axis)] = size; }
  void append(std::int64_t size);
  std::int64_t elements() const;  // 1 for rank 0
  std::string to_string() const;  // "[2, 3]"
  bool operator==(const Shape& other) const;

 private:
  std::array<std::int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
};

// Row-major strides of `shape`, in elements.
Shape contiguous_strides(const Shape& shape);

// Read-only and non-owning. `strides` count elements. Valid as long as its owner says.
struct TensorView {
  const void* data = nullptr;
  DType dtype = DType::f32;
  Device device;
  Shape shape;
  Shape strides;

  TensorView() = default;
  TensorView(const void* data, DType dtype, Shape shape, Device device = {});
  TensorView(const void* data, DType dtype, Shape shape, Shape strides, Device device = {});

  std::int64_t elements() const { return shape.elements(); }
  bool is_contiguous() const;
  // Rows [begin, end) along the first axis.
  TensorView rows(std::int64_t begin, std::int64_t end) const;
  // The last `count` rows along the first axis.
  TensorView last_rows(std::int64_t count) const { return rows(shape[0] - count, shape[0]); }
  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
};

struct MutableTensorView : TensorView {
  void* mutable_data = nullptr;
  MutableTensorView() = default;
  MutableTensorView(void* data, DType dtype, Shape shape, Device device = {})
      : TensorView(data, dtype, shape, device), mutable_data(data) {}
  MutableTensorView(void* data, DType dtype, Shape shape, Shape strides, Device device = {})
      : TensorView(data, dtype, shape, strides, device), mutable_data(data) {}
};

// Zeros from the system, which hands large areas out as zero pages: nothing is written before its first use.
// Or bytes that lie elsewhere, with what keeps them there.
class ZeroedBytes {
 public:
  ZeroedBytes() = default;
  explicit ZeroedBytes(std::size_t size);
  ZeroedBytes(std::byte* bytes, std::size_t size, std::shared_ptr<const void> owner)
      : data_(bytes, Free{std::move(owner)}), size_(size) {}
  ZeroedBytes(const ZeroedBytes& other);
  ZeroedBytes(ZeroedBytes&& other) noexcept { swap(other); }
  ZeroedBytes& operator=(ZeroedBytes other) noexcept {
    swap(other);
    return *this;
  }
  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  bool elsewhere() const { return data_.get_deleter().owner != nullptr; }

 private:
  struct Free {
    std::shared_ptr<const void> owner;
    void operator()(std::byte* bytes) const {
      if (!owner) std::free(bytes);
    }
  };
  void swap(ZeroedBytes& other) {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  std::unique_ptr<std::byte, Free> data_;
  std::size_t size_ = 0;
};

// Owning, contiguous, on the host. Copies share nothing; moves are cheap.
class Tensor {
 public:
  Tensor() = default;
  Tensor(DType dtype, Shape shape);  // zero-filled
  template <typename T>
  static Tensor from(DType dtype, Shape shape, std::span<const T> values) {
    Tensor tensor(dtype, shape);
    require(static_cast<std::size_t>(shape.elements()) == values.size() && sizeof(T) == dtype_size(dtype),
            "Tensor::from: values do not fill the shape");
    if (!values.empty()) std::memcpy(tensor.bytes_.data(), values.data(), values.size_bytes());
    return tensor;
  }

  // That lies in memory of `owner`, contiguous: a mapped file's, where a change is one in memory alone.
  // Copies are as those of any other tensor.
  static Tensor within(const TensorView& view, std::shared_ptr<const void> owner);
  // Lets go of the memory of an unchanged tensor that lies in a mapped file; the file is read again where it
  // is asked for. Does nothing to others.
  void unload() const;

  bool empty() const { return bytes_.empty(); }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t elements() const { return bytes_.empty() ? 0 : shape_.elements(); }
  TensorView view() const { return {bytes_.data(), dtype_, shape_}; }
  MutableTensorView mutable_view() { return {bytes_.data(), dtype_, shape_}; }
  std::span<const std::byte> bytes() const { return {bytes_.data(), bytes_.size()}; }
  template <typename T>
  std::span<T> values() {
    return {reinterpret_cast<T*>(bytes_.data()), bytes_.size() / sizeof(T)};
  }
  template <typename T>
  std::span<const T> values() const {
    return {reinterpret_cast<const T*>(bytes_.data()), bytes_.size() / sizeof(T)};
  }

 private:
  DType dtype_ = DType::f32;
  Shape shape_;
  ZeroedBytes bytes_;
};

// A contiguous copy of a host view, same dtype. Throws InternalError for a device view: an engine copies
// those.
Tensor copy_host(const TensorView& view);

// Element of a host view as f64, by logical row-major index; half types convert exactly, booleans are 0 or 1.
double element_as_f64(const TensorView& view, std::int64_t logical_index);

// Elements [begin, begin + out.size()) of a host view in logical row-major order, as f64.
void read_f64(const TensorView& view, std::int64_t begin, std::span<double> out);

// A contiguous host copy with every element converted to f64 (exact for every type but i64 beyond 2^53).
Tensor to_f64(const TensorView& view);

}  // namespace plumbline
