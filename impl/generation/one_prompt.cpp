// One prompt in a cache of its own: impl/generator.h's free function.
#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/generation/loop.h"
#include "impl/generator.h"

namespace plumbline::native {

GenerationResult generate(Engine& engine, Sampler& sampler, std::span<const TokenId> prompt,
                          const GenerationOptions& options, ProbeSink& sink,
                          std::function<bool(TokenId)> on_token) {
  if (prompt.empty()) throw Error("the prompt has no tokens", "generate", "there is nothing to continue");
  GenerationRequest request;
  request.options = options;
  if (on_token)
    request.hooks.on_token = [&](const TokenEvent& event) {
      return TokenAction{.stop = !on_token(event.token)};
    };
  validate(request, false);
  CacheSpec spec{.kind = options.cache, .dtype = engine.info().storage};
  const std::int64_t context = engine.config().max_position_embeddings;
  const auto given = static_cast<std::int64_t>(prompt.size());
  if (given > context) {
    throw Error(fmt::format("the prompt has {} tokens, the model's context {}", given, context), "generate");
  }
  if (options.cache == CacheKind::fixed) {
    // All that can be fed: the last token never is.
    std::int64_t most = context;
    if (options.max_new_tokens) {
      most = given + std::min(*options.max_new_tokens, context - given);
    } else if (options.max_length) {
      most = std::min(context, *options.max_length);
    }
    spec.capacity = std::max(most - 1, given);
  }
  Context held(std::make_shared<ContextCache>(engine, spec));
  held.assign(prompt);
  Row row(0, held, 0, std::move(request), nullptr, Clock::now());
  SinkList sinks;
  sinks.add(sink);
  run_loop(engine, sampler, {&row, 1}, sinks, std::max<std::int64_t>(given, 1));
  return row.take_output();
}

}  // namespace plumbline::native
