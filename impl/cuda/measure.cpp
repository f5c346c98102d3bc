#include "impl/cuda/measure.h"

#include <cuda_runtime_api.h>

#include <vector>

#include "impl/cuda/matmul_library.h"
#include "impl/cuda/memory.h"

namespace plumbline::native::cuda {
namespace {

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
  // Nobody is left to tell: a failure here is one that an earlier call has reported already.
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(Stream stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Times `repeats` calls of queue() at once: a single one may be shorter than what an event resolves.
class TimedWork : public DeviceWork {
 public:
  explicit TimedWork(int repeats) : repeats_(repeats) {}
  double seconds() override {
    begin_.record(stream());
    for (int i = 0; i < repeats_; ++i) queue();
    end_.record(stream());
    wait(stream());
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_.get(), end_.get()), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) / 1e3 / repeats_;
  }

 protected:
  virtual void queue() = 0;
  Stream stream() const { return stream_.get(); }

 private:
  int repeats_;
  StreamOwner stream_;
  Event begin_, end_;
};

class CopyWork final : public TimedWork {
 public:
  explicit CopyWork(std::size_t bytes) : TimedWork(4), bytes_(bytes) {
    from_.reserve(bytes, "the copy that is measured");
    to_.reserve(bytes, "the copy that is measured");
    check(cudaMemsetAsync(from_.data(), 0x5a, bytes, stream()), "cudaMemsetAsync");
    wait(stream());
  }

 private:
  void queue() override {
    check(cudaMemcpyAsync(to_.data(), from_.data(), bytes_, cudaMemcpyDeviceToDevice, stream()),
          "cudaMemcpyAsync on the device");
  }
  std::size_t bytes_;
  DeviceBuffer from_, to_;
};

// Of either sign, 1/256 to 2: equal numbers would take less power than a model's, and let the clock run
// higher.
std::vector<std::uint16_t> random_bf16(std::int64_t count, std::uint64_t state) {
  std::vector<std::uint16_t> values(static_cast<std::size_t>(count));
  for (std::uint16_t& value : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto bits = static_cast<std::uint32_t>(state >> 40);
    value = static_cast<std::uint16_t>((bits & 0x8000u) | ((119u + bits % 9u) << 7) | (bits >> 16 & 0x7fu));
  }
  return values;
}

class MatmulWork final : public TimedWork {
 public:
  MatmulWork(std::int64_t outs, std::int64_t depth, std::int64_t rows) : TimedWork(8), rows_(rows) {
    upload(weight_, outs * depth);
    upload(x_, rows * depth);
    y_.reserve(static_cast<std::size_t>(rows * outs) * 2, "the product that is measured");
    layer_ = {weight_.data(), nullptr, outs, depth};
  }

 private:
  void upload(DeviceBuffer& buffer, std::int64_t count) {
    const std::vector<std::uint16_t> values = random_bf16(count, static_cast<std::uint64_t>(count));
    buffer.reserve(values.size() * 2, "the product that is measured");
    copy_to_device(stream(), buffer.data(), values.data(), values.size() * 2);
  }
  void queue() override { library_.linear(stream(), DType::bf16, layer_, x_.data(), rows_, y_.data()); }

  std::int64_t rows_;
  MatmulLibrary library_;
  DeviceBuffer weight_, x_, y_;
  LinearLayer layer_;
};

}  // namespace

std::unique_ptr<DeviceWork> make_copy_work(std::size_t bytes) {
  return std::make_unique<CopyWork>(bytes);
}

std::unique_ptr<DeviceWork> make_matmul_work(std::int64_t outs, std::int64_t depth, std::int64_t rows) {
  const LinearLayer sizes{nullptr, nullptr, outs, depth};
  if (!MatmulLibrary::problem().empty() || !MatmulLibrary::takes(DType::bf16, sizes)) return nullptr;
  return std::make_unique<MatmulWork>(outs, depth, rows);
}

}  // namespace plumbline::native::cuda
