#include "reference/generator.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

namespace plumbline::reference {
namespace {

// nullopt: from the sampler's own stream.
std::optional<double> uniform_for(const GenerationOptions& options, std::size_t draw) {
  if (options.uniforms.empty()) return std::nullopt;
  if (draw == options.uniforms.size()) {
    throw Error("only " + std::to_string(draw) + " uniforms were given", "generation",
                "one for each new token");
  }
  return options.uniforms[draw];
}

// f32 logits of the last position, from a sequence computed anew.
std::vector<float> last_logits(Engine& engine, Cache& cache, std::span<const TokenId> tokens) {
  std::vector<std::int64_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), 0);
  cache.clear(0);
  const SequenceStep step{0, tokens, positions, LogitsWanted::last};
  NullSink nothing;
  const Logits logits = engine.forward(std::span(&step, 1), cache, nothing);
  const Tensor row = engine.to_host(logits.steps.at(0));
  std::vector<float> values;
  for (std::int64_t i = 0; i < row.elements(); ++i) {
    values.push_back(static_cast<float>(element_as_f64(row.view(), i)));
  }
  return values;
}

void check(std::span<const TokenId> prompt, const GenerationOptions& options, std::int64_t longest) {
  validate(options.sampling);
  if (prompt.empty()) throw Error("the prompt is empty", "generation", "it has no logits to continue from");
  if (static_cast<std::int64_t>(prompt.size()) > longest) {
    throw Error("the prompt has " + std::to_string(prompt.size()) + " tokens", "generation",
                "max_position_embeddings is " + std::to_string(longest));
  }
  for (const auto& [name, limit] :
       {std::pair("max_new_tokens", options.max_new_tokens), std::pair("max_length", options.max_length)}) {
    if (limit.value_or(0) < 0) throw Error(std::string(name) + " is " + std::to_string(*limit), "generation");
  }
}

// How long the text may get, and what it is that says so.
std::pair<std::int64_t, StopReason> limit_of(const GenerationOptions& options, std::int64_t prompt,
                                             std::int64_t context) {
  if (options.max_new_tokens && *options.max_new_tokens <= context - prompt)
    return {prompt + *options.max_new_tokens, StopReason::max_new_tokens};
  if (!options.max_new_tokens && options.max_length && *options.max_length <= context)
    return {*options.max_length, StopReason::max_length};
  return {context, StopReason::context_full};
}

}  // namespace

GenerationResult generate(Engine& engine, Sampler& sampler, std::span<const TokenId> prompt,
                          const GenerationOptions& options) {
  const std::int64_t longest = engine.config().max_position_embeddings;
  check(prompt, options, longest);
  const auto given = static_cast<std::int64_t>(prompt.size());
  const auto [limit, reason] = limit_of(options, given, longest);
  const std::int64_t capacity = std::max(given, limit);
  const std::unique_ptr<Cache> cache = engine.make_cache({options.cache, 1, capacity, engine.info().storage});
  NullSink nothing;
  std::vector<TokenId> tokens(prompt.begin(), prompt.end());
  GenerationResult result;
  result.stop = reason;
  while (static_cast<std::int64_t>(tokens.size()) < limit) {
    const std::vector<float> logits = last_logits(engine, *cache, tokens);
    const TensorView row(logits.data(), DType::f32, Shape{static_cast<std::int64_t>(logits.size())});
    SamplingStep step{row, tokens, static_cast<std::int64_t>(result.tokens.size())};
    step.step = tokens.size();
    if (options.sampling.temperature != 0.0) step.uniform = uniform_for(options, result.tokens.size());
    const TokenId token = sampler.sample(step, options.sampling, nothing);
    tokens.push_back(token);
    result.tokens.push_back(token);
    const auto& ends = options.eos_token_ids;
    if (std::find(ends.begin(), ends.end(), std::int64_t{token}) != ends.end()) {
      result.stop = StopReason::eos;
      break;
    }
  }
  result.cache_length = static_cast<std::int64_t>(tokens.size()) - 1;
  return result;
}

}  // namespace plumbline::reference
