#include "phases/support/loop_kit.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "harness/error.h"
#include "harness/tensor_file.h"
#include "impl/generation/capture.h"
#include "impl/generator.h"
#include "impl/half.h"
#include "phases/support/made_checkpoint.h"

namespace plumbline::phases {
namespace {

std::vector<TokenId> copy(std::span<const TokenId> tokens) {
  return {tokens.begin(), tokens.end()};
}

class NativeConversation final : public TestedConversation {
 public:
  NativeConversation(const native::Generator& base, native::ConversationSettings settings)
      : conversation_(base, std::move(settings)) {}
  native::ConversationOutput say(std::string_view text, native::GenerationHooks hooks,
                                 native::StepSink* sink) override {
    return conversation_.say(text, std::move(hooks), sink);
  }
  std::vector<TokenId> tokens() const override { return copy(conversation_.context().tokens()); }

 private:
  native::Conversation conversation_;
};

class NativeGenerator final : public TestedGenerator {
 public:
  explicit NativeGenerator(native::Generator generator) : generator_(std::move(generator)) {}
  native::GenerationOutput generate(native::GenerationRequest request, native::StepSink* sink) override {
    return generator_.generate(std::move(request), sink);
  }
  std::vector<native::GenerationOutput> generate_batch(std::span<const native::GenerationRequest> batch,
                                                       native::StepSink* sink) override {
    return generator_.generate(batch, sink);
  }
  std::vector<TokenId> tokens() const override { return copy(generator_.context().tokens()); }
  std::unique_ptr<TestedGenerator> fork() const override {
    return std::make_unique<NativeGenerator>(generator_.fork());
  }
  std::unique_ptr<TestedConversation> talk(native::ConversationSettings settings) const override {
    return std::make_unique<NativeConversation>(generator_, std::move(settings));
  }

 private:
  native::Generator generator_;
};

// All shards' rows of the one probe, one below the other.
void read_shards(const std::filesystem::path& directory, OpSite site, CapturedRun& run) {
  std::vector<std::filesystem::path> shards;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".safetensors") shards.push_back(entry.path());
  }
  std::ranges::sort(shards);
  std::vector<float> rows;
  std::int64_t width = 0;
  for (const std::filesystem::path& shard : shards) {
    for (const NamedTensor& each : read_tensor_file(shard).tensors) {
      if (each.name == site_name(site)) {
        const std::size_t before = rows.size();
        rows.resize(before + static_cast<std::size_t>(each.tensor.elements()));
        native::widen(each.tensor.dtype(), each.tensor.bytes().data(), each.tensor.elements(),
                      rows.data() + before);
        width = each.tensor.shape()[1];
      } else if (each.name == "origin.position") {
        const auto positions = each.tensor.values<std::int64_t>();
        run.positions.insert(run.positions.end(), positions.begin(), positions.end());
      }
    }
  }
  require(width > 0, "the capture has no rows");
  run.rows = Tensor::from<float>(DType::f32, {static_cast<std::int64_t>(rows.size()) / width, width}, rows);
}

class NativeKit final : public LoopKit {
 public:
  NativeKit(Engine& engine, const Tokenizer* tokenizer) : engine_(engine), tokenizer_(tokenizer) {}
  Engine& engine() const override { return engine_; }
  const Tokenizer* tokenizer() const override { return tokenizer_; }
  std::unique_ptr<TestedGenerator> generator(const CacheSpec& spec) const override {
    return std::make_unique<NativeGenerator>(make(spec));
  }

  CapturedRun capture(native::GenerationRequest request, OpSite site) const override {
    const MadeCheckpoint folder("capture");
    const std::filesystem::path directory = folder.directory() / "shards";
    native::Generator generator = make(few_sequences(engine_));
    CapturedRun run;
    {
      native::CaptureOptions options{.directory = directory, .probes = {site}};
      options.shard_tokens = 64;  // so that the rows of a run may lie in several shards
      native::CaptureWriter writer(engine_, options);
      run.output = generator.generate(std::move(request), &writer);
      writer.finish();
    }
    read_shards(directory, site, run);
    return run;
  }

  native::GenerationOutput intervene(native::GenerationRequest request,
                                     native::Intervention intervention) const override {
    native::Interventions interventions(engine_, {std::move(intervention)});
    return make(few_sequences(engine_)).generate(std::move(request), &interventions);
  }

 private:
  native::Generator make(const CacheSpec& spec) const {
    native::GeneratorSettings settings;
    settings.cache = spec;
    return {engine_, tokenizer_, settings};
  }

  Engine& engine_;
  const Tokenizer* tokenizer_;
};

}  // namespace

std::unique_ptr<LoopKit> native_loop_kit(Engine& engine, const Tokenizer* tokenizer) {
  return std::make_unique<NativeKit>(engine, tokenizer);
}

CacheSpec few_sequences(const Engine& engine) {
  return {.max_sequences = 6, .dtype = engine.info().storage};
}

}  // namespace plumbline::phases
