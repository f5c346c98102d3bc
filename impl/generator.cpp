#include "impl/generator.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/positions.h"

namespace plumbline::native {
namespace {

void check(std::span<const TokenId> prompt, const GenerationOptions& options, std::int64_t context) {
  if (prompt.empty()) throw Error("the prompt has no tokens", "generate", "there is nothing to continue");
  if (static_cast<std::int64_t>(prompt.size()) > context) {
    throw Error(fmt::format("the prompt has {} tokens, the model's context {}", prompt.size(), context),
                "generate");
  }
  if (options.max_new_tokens < 0) {
    throw Error(fmt::format("max_new_tokens is {}", options.max_new_tokens), "generate");
  }
}

std::unique_ptr<Cache> make_cache(const Engine& engine, std::int64_t prompt,
                                  const GenerationOptions& options) {
  CacheSpec spec;
  spec.kind = options.cache;
  spec.dtype = engine.info().storage;
  if (options.cache == CacheKind::fixed) {
    // All that can be fed: the last token chosen never is.
    const std::int64_t context = engine.config().max_position_embeddings;
    const std::int64_t room = std::max(context - prompt, std::int64_t{1});
    spec.capacity = prompt + std::min(std::max(options.max_new_tokens, std::int64_t{1}), room) - 1;
  }
  return engine.make_cache(spec);
}

std::optional<double> uniform_for(const GenerationOptions& options, std::size_t draw) {
  if (options.uniforms.empty()) return std::nullopt;
  if (draw >= options.uniforms.size()) {
    throw Error(fmt::format("there are {} uniforms, and another draw", options.uniforms.size()), "generate");
  }
  return options.uniforms[draw];
}

// Feeds `tokens` and returns the logits of the last on the host, in f32: sampling begins there, whatever the
// engine computes in.
Tensor feed(Engine& engine, Cache& cache, std::span<const TokenId> tokens, ProbeSink& sink) {
  const std::vector<std::int64_t> positions =
      position_ids(cache.length(0), static_cast<std::int64_t>(tokens.size()));
  const SequenceStep step{0, tokens, positions, LogitsWanted::last};
  Tensor logits = engine.to_host(engine.forward({&step, 1}, cache, sink).steps.at(0));
  if (logits.dtype() == DType::f32) return logits;
  Tensor narrowed(DType::f32, logits.shape());
  std::int64_t i = 0;
  for (float& value : narrowed.values<float>())
    value = static_cast<float>(element_as_f64(logits.view(), i++));
  return narrowed;
}

TensorView row_of(const Tensor& logits) {
  return {logits.bytes().data(), logits.dtype(), {logits.elements()}};
}

bool contains(std::span<const std::int64_t> ids, TokenId token) {
  return std::find(ids.begin(), ids.end(), token) != ids.end();
}

// Whether the loop ends after the last of result.tokens, and why.
bool stops(const GenerationOptions& options, std::int64_t total, std::int64_t context, bool wanted_more,
           GenerationResult& result) {
  const auto generated = static_cast<std::int64_t>(result.tokens.size());
  if (contains(options.eos_token_ids, result.tokens.back())) {
    result.stop = StopReason::eos;
  } else if (!wanted_more) {
    result.stop = StopReason::callback;
  } else if (generated >= options.max_new_tokens) {
    result.stop = StopReason::max_new_tokens;
  } else if (total >= context) {
    result.stop = StopReason::context_full;
  } else {
    return false;
  }
  return true;
}

}  // namespace

GenerationResult generate(Engine& engine, Sampler& sampler, std::span<const TokenId> prompt,
                          const GenerationOptions& options, ProbeSink& sink,
                          std::function<bool(TokenId)> on_token) {
  const std::int64_t context = engine.config().max_position_embeddings;
  check(prompt, options, context);
  GenerationResult result;
  if (options.max_new_tokens == 0) return result;
  const std::unique_ptr<Cache> cache = make_cache(engine, static_cast<std::int64_t>(prompt.size()), options);
  const bool greedy = options.sampling.temperature == 0.0;
  std::vector<TokenId> history(prompt.begin(), prompt.end());
  std::size_t fed = 0;
  for (bool wanted_more = true;;) {
    const Tensor logits = feed(engine, *cache, std::span<const TokenId>(history).subspan(fed), sink);
    fed = history.size();
    SamplingStep step{row_of(logits), history, static_cast<std::int64_t>(result.tokens.size())};
    step.step = history.size();
    if (!greedy) step.uniform = uniform_for(options, result.tokens.size());
    const TokenId token = sampler.sample(step, options.sampling, sink);
    history.push_back(token);
    result.tokens.push_back(token);
    if (on_token) wanted_more = on_token(token);
    if (stops(options, static_cast<std::int64_t>(history.size()), context, wanted_more, result)) break;
  }
  result.cache_length = cache->length(0);
  return result;
}

}  // namespace plumbline::native
