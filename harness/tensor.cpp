#include "harness/tensor.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include <fmt/format.h>

namespace plumbline {
namespace {

double load_f64(const void* data, DType dtype, std::int64_t offset) {
  switch (dtype) {
    case DType::f64:
      return static_cast<const double*>(data)[offset];
    case DType::f32:
      return static_cast<const float*>(data)[offset];
    case DType::bf16:
      return bf16_to_f32(static_cast<const std::uint16_t*>(data)[offset]);
    case DType::f16:
      return f16_to_f32(static_cast<const std::uint16_t*>(data)[offset]);
    case DType::i64:
      return static_cast<double>(static_cast<const std::int64_t*>(data)[offset]);
    case DType::i32:
      return static_cast<const std::int32_t*>(data)[offset];
    case DType::boolean:
      return static_cast<const std::uint8_t*>(data)[offset] != 0 ? 1.0 : 0.0;
  }
  throw InternalError("load_f64: dtype out of range");
}

std::int64_t offset_of(const TensorView& view, std::int64_t logical_index) {
  std::int64_t offset = 0;
  for (int axis = view.shape.rank() - 1; axis >= 0; --axis) {
    offset += (logical_index % view.shape[axis]) * view.strides[axis];
    logical_index /= view.shape[axis];
  }
  return offset;
}

}  // namespace

std::string device_name(Device device) {
  return device.kind == DeviceKind::cpu ? "cpu" : fmt::format("cuda:{}", device.index);
}

Shape::Shape(std::initializer_list<std::int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}

Shape::Shape(std::span<const std::int64_t> sizes) {
  for (const std::int64_t size : sizes) append(size);
}

void Shape::append(std::int64_t size) {
  require(rank_ < kMaxRank, "Shape: more than four axes");
  sizes_[static_cast<std::size_t>(rank_++)] = size;
}

std::int64_t Shape::elements() const {
  std::int64_t count = 1;
  for (int axis = 0; axis < rank_; ++axis) count *= (*this)[axis];
  return count;
}

std::string Shape::to_string() const {
  return fmt::format("[{}]", fmt::join(sizes_.begin(), sizes_.begin() + rank_, ", "));
}

bool Shape::operator==(const Shape& other) const {
  if (rank_ != other.rank_) return false;
  for (int axis = 0; axis < rank_; ++axis) {
    if ((*this)[axis] != other[axis]) return false;
  }
  return true;
}

Shape contiguous_strides(const Shape& shape) {
  Shape strides = shape;
  std::int64_t step = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    strides.set(axis, step);
    step *= shape[axis];
  }
  return strides;
}

TensorView::TensorView(const void* data_, DType dtype_, Shape shape_, Device device_)
    : TensorView(data_, dtype_, shape_, contiguous_strides(shape_), device_) {}

TensorView::TensorView(const void* data_, DType dtype_, Shape shape_, Shape strides_, Device device_)
    : data(data_), dtype(dtype_), device(device_), shape(shape_), strides(strides_) {}

bool TensorView::is_contiguous() const {
  std::int64_t step = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    if (shape[axis] != 1 && strides[axis] != step) return false;
    step *= shape[axis];
  }
  return true;
}

TensorView TensorView::rows(std::int64_t begin, std::int64_t end) const {
  require(shape.rank() >= 1 && begin >= 0 && begin <= end && end <= shape[0],
          "TensorView::rows: out of range");
  TensorView part = *this;
  part.shape.set(0, end - begin);
  part.data =
      static_cast<const std::byte*>(data) + begin * strides[0] * static_cast<std::int64_t>(dtype_size(dtype));
  return part;
}

Tensor::Tensor(DType dtype, Shape shape)
    : dtype_(dtype), shape_(shape), bytes_(static_cast<std::size_t>(shape.elements()) * dtype_size(dtype)) {}

ZeroedBytes::ZeroedBytes(std::size_t size) : size_(size) {
  if (size == 0) return;
  data_.reset(static_cast<std::byte*>(std::calloc(size, 1)));
  if (!data_) throw std::bad_alloc();
}

ZeroedBytes::ZeroedBytes(const ZeroedBytes& other) : ZeroedBytes(other.size_) {
  if (size_ > 0) std::memcpy(data_.get(), other.data_.get(), size_);
}

Tensor Tensor::within(const TensorView& view, std::shared_ptr<const void> owner) {
  require(view.is_contiguous() && view.device.kind == DeviceKind::cpu && owner != nullptr,
          "Tensor::within: no contiguous host view");
  Tensor tensor;
  tensor.dtype_ = view.dtype;
  tensor.shape_ = view.shape;
  const auto size = static_cast<std::size_t>(view.elements()) * dtype_size(view.dtype);
  tensor.bytes_ = ZeroedBytes(static_cast<std::byte*>(const_cast<void*>(view.data)), size, std::move(owner));
  return tensor;
}

// Whole pages: those at the ends hold a part of the tensors beside it.
void Tensor::unload() const {
  if (!bytes_.elsewhere()) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(bytes_.data());
  const std::uintptr_t begin = (address + page - 1) / page * page,
                       end = (address + bytes_.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

Tensor copy_host(const TensorView& view) {
  require(view.device.kind == DeviceKind::cpu, "copy_host: the view is on a device");
  Tensor copy(view.dtype, view.shape);
  const std::size_t size = dtype_size(view.dtype);
  auto* out = static_cast<std::byte*>(copy.mutable_view().mutable_data);
  const auto* in = static_cast<const std::byte*>(view.data);
  const std::int64_t count = view.elements();
  if (view.is_contiguous()) {
    if (count > 0) std::memcpy(out, in, static_cast<std::size_t>(count) * size);
    return copy;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    std::memcpy(out + static_cast<std::size_t>(i) * size,
                in + offset_of(view, i) * static_cast<std::int64_t>(size), size);
  }
  return copy;
}

double element_as_f64(const TensorView& view, std::int64_t logical_index) {
  return load_f64(view.data, view.dtype, offset_of(view, logical_index));
}

void read_f64(const TensorView& view, std::int64_t begin, std::span<double> out) {
  require(view.device.kind == DeviceKind::cpu, "read_f64: the view is on a device");
  const auto count = static_cast<std::int64_t>(out.size());
  require(begin >= 0 && begin + count <= view.elements(), "read_f64: out of range");
  const bool contiguous = view.is_contiguous();
  if (contiguous && view.dtype == DType::f32) {
    std::copy_n(view.as<float>() + begin, count, out.begin());
  } else if (contiguous && view.dtype == DType::f64) {
    std::copy_n(view.as<double>() + begin, count, out.begin());
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t index = begin + i;
      out[static_cast<std::size_t>(i)] =
          load_f64(view.data, view.dtype, contiguous ? index : offset_of(view, index));
    }
  }
}

Tensor to_f64(const TensorView& view) {
  Tensor copy(DType::f64, view.shape);
  read_f64(view, 0, copy.values<double>());
  return copy;
}

}  // namespace plumbline
