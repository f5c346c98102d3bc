#include <climits>
#include <iostream>

#include <fmt/format.h>

#include "cli/common.h"
#include "cli/verbs.h"
#include "harness/output_file.h"
#include "harness/trace_file.h"
#include "impl/generator.h"
#include "impl/sampler.h"

namespace plumbline::cli {
namespace {

constexpr std::size_t kLongPrompt =
    1024;  // scores and probs grow with the square: off by default from here on

struct Options {
  std::string model, engine = "cpu", dtype = "f32", output, isa, device;
  PromptOptions prompt;
  std::vector<std::string> probes;
  std::int64_t steps = 1;
  int threads = 0;
  bool stream = false;
};

ProbeFilter filter_of(const Options& options, std::size_t tokens) {
  if (!options.probes.empty() || tokens <= kLongPrompt) return ProbeFilter(options.probes);
  std::vector<std::string> patterns;
  for (const ProbeSpec& spec : probe_table()) {
    if (spec.probe == Probe::scores || spec.probe == Probe::probs || spec.scope == ProbeScope::sample)
      continue;
    patterns.push_back("*" + std::string(spec.name));
  }
  return ProbeFilter(patterns);
}

int run(const CLI::App& command, const Options& options) {
  if (options.stream) give_memory_back();
  require_writable(options.output);
  const std::vector<TokenId> prompt =
      prompt_tokens(options.prompt, command.count("--prompt") > 0, false, options.model);
  const std::unique_ptr<Engine> engine =
      make_engine(options.engine, options.model, dtype_from_name(options.dtype), options.threads, options.isa,
                  options.stream, options.device);
  require_context(prompt, engine->config());
  const ProbeFilter filter = filter_of(options, prompt.size());
  filter.check(static_cast<int>(engine->config().num_hidden_layers));

  std::vector<TokenId> tokens = prompt;
  std::vector<std::int64_t> split{static_cast<std::int64_t>(prompt.size())};
  if (options.steps > 1) {  // greedy text, fed back one token a step
    GenerationOptions greedy;
    greedy.max_new_tokens = options.steps - 1;
    NullSink nothing;
    const GenerationResult result =
        native::generate(*engine, *native::sampler_for(*engine), prompt, greedy, nothing);
    tokens.insert(tokens.end(), result.tokens.begin(), result.tokens.end());
    split.resize(1 + result.tokens.size(), 1);
  }
  const CacheSpec spec{CacheKind::concat, 1, static_cast<std::int64_t>(tokens.size()),
                       engine->info().storage};
  const std::unique_ptr<Cache> cache = engine->make_cache(spec);
  TraceFileWriter file(options.output, filter, static_cast<int>(engine->config().num_hidden_layers),
                       split.size());
  const Trace outline = record_steps(*engine, *cache, tokens, split, filter, std::nullopt,
                                     [&](SequenceId sequence, int step, OpSite site, const TensorView& view) {
                                       file.add(sequence, step, site, view);
                                     });
  if (file.tensors() == 0) throw Error("the engine recorded none of these probes", "--probes");
  file.keep(outline);
  std::cerr << fmt::format("plumbline: {} tensors of {} steps in {}\n", file.tensors(), split.size(),
                           options.output);
  return 0;
}

}  // namespace

Verb add_trace(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("trace", "Record an engine's tensors at its probes in a file");
  command->footer(
      "Example:\n  plumbline trace --model fixtures/models/tiny --prompt 'The quick brown' --engine cpu -o "
      "t.safetensors");
  command->add_option("--model", options->model, "Checkpoint directory")->required();
  command->add_option("--prompt", options->prompt.prompt, "Text to run");
  command->add_option("--tokens", options->prompt.tokens, "Token ids to run, as in 1,2,3");
  command->add_option("--steps", options->steps, "Forward calls: the prefill, then greedy decode steps")
      ->capture_default_str()
      ->check(CLI::Range(1, INT_MAX));
  command->add_option("--engine", options->engine, "cpu, cuda or reference")->capture_default_str();
  command->add_option("--dtype", options->dtype, "f32, bf16 or f16; f64 with the reference")
      ->capture_default_str();
  command->add_option("--device", options->device, "Where the reference computes: cpu or cuda");
  command->add_option("--threads", options->threads, "0: one for each core")->capture_default_str();
  command->add_option("--isa", options->isa, "Instruction set of the cpu engine");
  command->add_flag("--stream", options->stream,
                    "Hold one layer of weights at a time, with the same trace: the reference only");
  command->add_option("--probes", options->probes, "Patterns of probe names; default: all")
      ->allow_extra_args(false);
  command->add_option("-o,--output", options->output, "The file to write")->required();
  return {command, [command, options] { return run(*command, *options); }};
}

}  // namespace plumbline::cli
