// The third loop's captures and interventions, and the loop as a whole.
#include <algorithm>

#include "harness/error.h"
#include "tests/mutants/plain_generator.h"

namespace plumbline::mutants {
namespace {

using M = LoopMistake;

// One probe's rows, of every call; or a number added to them.
class PlainSink final : public native::StepSink {
 public:
  PlainSink(M planted, Engine& engine, OpSite site, float added = 0)
      : planted_(planted), engine_(engine), site_(site), added_(added) {}

  void begin(std::span<const SequenceStep> steps) override {
    ++calls_;
    for (const SequenceStep& step : steps) {
      for (std::size_t i = 0; i < step.positions.size(); ++i) {
        const bool by_call = planted_ == M::capture_positions_of_calls;
        positions_.push_back(by_call ? calls_ - 1 : step.positions[i]);
      }
    }
  }

  Access access(const ProbeId& id) const override {
    if (id.site != site_) return Access::none;
    const bool changes = planted_ == M::capture_changes_output || added_ != 0;
    return changes && acts() ? Access::write : Access::read;
  }

  void receive(const ProbeId&, const TensorView& view) override { keep(view); }
  void modify(const ProbeId&, const MutableTensorView& view) override {
    auto* values = static_cast<float*>(view.mutable_data);
    for (std::int64_t i = 0; i < view.shape.elements(); ++i) values[i] = values[i] * scale() + added_;
    keep(view);
  }

  phases::CapturedRun finish(native::GenerationOutput output) const {
    phases::CapturedRun run;
    run.output = std::move(output);
    run.positions = positions_;
    const auto rows = static_cast<std::int64_t>(rows_.size()) / width_;
    run.rows = Tensor::from<float>(DType::f32, {rows, width_}, rows_);
    return run;
  }

 private:
  bool acts() const {
    if (planted_ == M::intervention_in_prefill_alone) return calls_ == 1;
    if (planted_ == M::intervention_in_decode_alone) return calls_ > 1;
    return true;
  }
  float scale() const { return planted_ == M::capture_changes_output ? 1.0001f : 1.0f; }

  void keep(const TensorView& view) {
    const Tensor copy = engine_.to_host(view);
    width_ = view.shape[1];
    const auto values = copy.values<float>();
    // The rows before it were views of the buffer that this call has written again.
    if (planted_ == M::capture_overwritten && rows_.size() >= values.size())
      std::ranges::copy(values, rows_.end() - static_cast<std::ptrdiff_t>(values.size()));
    rows_.insert(rows_.end(), values.begin(), values.end());
  }

  M planted_;
  Engine& engine_;
  OpSite site_;
  float added_;
  std::int64_t calls_ = 0, width_ = 1;
  std::vector<float> rows_;
  std::vector<std::int64_t> positions_;
};

class PlainKit final : public phases::LoopKit {
 public:
  PlainKit(M planted, Engine& engine, const Tokenizer* tokenizer)
      : planted_(planted), engine_(engine), tokenizer_(tokenizer) {}
  Engine& engine() const override { return engine_; }
  const Tokenizer* tokenizer() const override { return tokenizer_; }

  std::unique_ptr<phases::TestedGenerator> generator(const CacheSpec& spec) const override {
    auto store = std::make_shared<PlainStore>();
    store->engine = &engine_;
    store->tokenizer = tokenizer_;
    store->cache = engine_.make_cache(spec);
    store->limit = engine_.config().max_position_embeddings;
    if (spec.capacity > 0) store->limit = std::min(store->limit, spec.capacity + 1);
    return std::make_unique<PlainGenerator>(planted_, std::move(store));
  }

  phases::CapturedRun capture(native::GenerationRequest request, OpSite site) const override {
    PlainSink sink(planted_, engine_, site);
    native::GenerationOutput output =
        generator(phases::few_sequences(engine_))->generate(std::move(request), &sink);
    return sink.finish(std::move(output));
  }

  native::GenerationOutput intervene(native::GenerationRequest request,
                                     native::Intervention intervention) const override {
    require(intervention.values.size() == 1 && intervention.kind == native::InterventionKind::add,
            "the third loop adds a number, and no more");
    PlainSink sink(planted_, engine_, intervention.site, intervention.values.front());
    return generator(phases::few_sequences(engine_))->generate(std::move(request), &sink);
  }

 private:
  M planted_;
  Engine& engine_;
  const Tokenizer* tokenizer_;
};

}  // namespace

std::unique_ptr<phases::LoopKit> make_plain_loop(LoopMistake planted, Engine& engine,
                                                 const Tokenizer* tokenizer) {
  return std::make_unique<PlainKit>(planted, engine, tokenizer);
}

}  // namespace plumbline::mutants
