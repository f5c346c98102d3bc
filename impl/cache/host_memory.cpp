// A cache's rows in this machine's memory.
#include <unistd.h>

#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "impl/cache/copy_plan.h"
#include "impl/cache/memory.h"
#include "impl/huge_pages.h"

namespace plumbline::native {
namespace {

class HostBlock final : public MemoryBlock {
 public:
  explicit HostBlock(HugePages pages) : MemoryBlock(pages.get()), pages_(std::move(pages)) {}

 private:
  HugePages pages_;
};

class HostMemory final : public CacheMemory {
 public:
  std::unique_ptr<MemoryBlock> allocate(std::size_t bytes) override {
    return std::make_unique<HostBlock>(HugePages(bytes));
  }
  void zero(std::byte* data, std::size_t bytes) override { std::memset(data, 0, bytes); }
  bool on_host() const override { return true; }
  MemoryLimit limit() const override {
    const double bytes =
        static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
    return {bytes, fmt::format("this machine has {:.0f}", bytes)};
  }

 private:
  void copy(const RunFormat& format, const StoredRun& to_run, const StoredRun& from_run, CachePart part,
            CopyWay) override {
    const CopyPlan plan = plan_copy(format, to_run, from_run, part);
    for (std::size_t o = 0; o < plan.outer.count; ++o) {
      std::byte* to = plan.to + o * plan.outer.to_stride;
      const std::byte* from = plan.from + o * plan.outer.from_stride;
      for (std::size_t i = 0; i < plan.inner.count; ++i) {
        std::memcpy(to + i * plan.inner.to_stride, from + i * plan.inner.from_stride, plan.piece);
      }
    }
  }
};

}  // namespace

std::shared_ptr<CacheMemory> host_memory() {
  static const auto memory = std::make_shared<HostMemory>();
  return memory;
}

}  // namespace plumbline::native
