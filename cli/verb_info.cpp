#include <iostream>

#include <fmt/format.h>

#include "cli/verbs.h"
#include "harness/error.h"
#include "impl/config.h"
#include "impl/cpu/engine.h"
#include "impl/cuda/description.h"
#include "impl/cuda/engine.h"
#include "impl/weights.h"
#include "reference/engine.h"
#include "reference/version.h"

namespace plumbline::cli {
namespace {

void line(const std::string& name, const std::string& value) {
  std::cout << fmt::format("{:<24}{}\n", name, value);
}

void print_machine() {
  line("engines", "cpu, cuda, reference");
  line("cpu instruction sets", fmt::format("{}", fmt::join(native::available_isas(), ", ")));
  const std::string problem = native::cuda_device_problem();
  line("cpu storage dtypes", "f32, bf16, f16");
  line("cuda", problem.empty() ? "a device is there" : "not usable: " + problem);
  for (const auto& [name, value] : native::cuda_description()) line(name, value);
  line("LibTorch", reference::libtorch_version());
  const std::string lacking = reference::why_no_cuda();
  line("LibTorch on the GPU", lacking.empty() ? "a device is there" : "not usable: " + lacking);
}

void print_checkpoint(const std::filesystem::path& model) {
  const ModelConfig config = native::load_config(model);
  const DerivedArchitecture derived = native::derive(config);
  line("model", model.string());
  line("layers", std::to_string(config.num_hidden_layers));
  line("hidden, intermediate", fmt::format("{}, {}", config.hidden_size, config.intermediate_size));
  line("heads, kv heads",
       fmt::format("{}, {} of {}", config.num_attention_heads, config.num_key_value_heads, config.head_dim));
  line("vocabulary", std::to_string(config.vocab_size));
  line("context", std::to_string(config.max_position_embeddings));
  line("rope", fmt::format("{}, theta {}", config.rope.type, config.rope.theta));
  line("rms_norm_eps", fmt::format("{}", config.rms_norm_eps));
  line("lm_head", config.tie_word_embeddings ? "tied to the embedding" : "of its own");
  line("parameters", fmt::format("{}", derived.parameter_count));
  for (const WeightEntry& weight : native::stored_weights(model)) {
    std::cout << fmt::format("  {:<52}{} {}\n", weight.name, weight.shape.to_string(),
                             dtype_name(weight.dtype));
  }
}

}  // namespace

Verb add_info(CLI::App& app) {
  const auto model = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("info", "Engines, devices and libraries here; a checkpoint's config and inventory");
  command->footer("Example:\n  plumbline info --model fixtures/models/tiny");
  command->add_option("--model", *model, "Checkpoint directory");
  return {command, [model] {
            print_machine();
            if (!model->empty()) print_checkpoint(*model);
            return 0;
          }};
}

}  // namespace plumbline::cli
