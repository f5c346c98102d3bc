#include "phases/support/subject_sampler.h"

#include <utility>

#include "impl/sampler.h"
#include "phases/support/sides.h"

namespace plumbline::phases {
namespace {

class HostSink final : public ProbeSink {
 public:
  HostSink(Engine& engine, ProbeSink& sink) : engine_(engine), sink_(sink) {}
  Access access(const ProbeId& id) const override { return sink_.access(id); }
  void receive(const ProbeId& id, const TensorView& view) override {
    sink_.receive(id, engine_.to_host(view).view());
  }
  void modify(const ProbeId& id, const MutableTensorView& view) override { sink_.modify(id, view); }

 private:
  Engine& engine_;
  ProbeSink& sink_;
};

class ShownOnHost final : public Sampler {
 public:
  ShownOnHost(Engine& engine, std::shared_ptr<Sampler> sampler)
      : engine_(engine), sampler_(std::move(sampler)) {}
  TokenId sample(const SamplingStep& step, const SamplingParams& params, ProbeSink& sink) override {
    HostSink on_host(engine_, sink);
    return sampler_->sample(step, params, on_host);
  }
  bool takes_device_logits() const override { return sampler_->takes_device_logits(); }

 private:
  Engine& engine_;
  const std::shared_ptr<Sampler> sampler_;
};

}  // namespace

std::shared_ptr<Sampler> subject_sampler(std::uint64_t seed) {
  std::shared_ptr<Sampler> sampler = native::sampler_for(subject(), seed);
  if (!sampler->takes_device_logits()) return sampler;
  return std::make_shared<ShownOnHost>(subject(), std::move(sampler));
}

}  // namespace plumbline::phases
