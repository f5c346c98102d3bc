#include "reference/generator.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <string>

namespace plumbline::reference {
namespace {

class Uniforms {
 public:
  explicit Uniforms(const GenerationOptions& options) : given_(options.uniforms), random_(options.seed) {}
  double next() {
    if (given_.empty()) return static_cast<double>(random_() >> 11) * 0x1p-53;
    if (used_ == given_.size()) {
      throw Error("only " + std::to_string(used_) + " uniforms were given", "generation",
                  "one for each new token");
    }
    return given_[used_++];
  }

 private:
  const std::vector<double>& given_;
  std::mt19937_64 random_;
  std::size_t used_ = 0;
};

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
  if (options.max_new_tokens < 0) {
    throw Error("max_new_tokens is " + std::to_string(options.max_new_tokens), "generation");
  }
}

}  // namespace

GenerationResult generate(Engine& engine, Sampler& sampler, std::span<const TokenId> prompt,
                          const GenerationOptions& options) {
  const std::int64_t longest = engine.config().max_position_embeddings;
  check(prompt, options, longest);
  const auto given = static_cast<std::int64_t>(prompt.size());
  const std::int64_t capacity = given + std::min(longest - given, options.max_new_tokens);  // cannot overflow
  const std::unique_ptr<Cache> cache = engine.make_cache({options.cache, 1, capacity, engine.info().storage});
  Uniforms uniforms(options);
  NullSink nothing;
  std::vector<TokenId> tokens(prompt.begin(), prompt.end());
  GenerationResult result;
  result.stop = StopReason::max_new_tokens;
  while (static_cast<std::int64_t>(result.tokens.size()) < options.max_new_tokens) {
    if (static_cast<std::int64_t>(tokens.size()) >= longest) {
      result.stop = StopReason::context_full;
      break;
    }
    const std::vector<float> logits = last_logits(engine, *cache, tokens);
    const double uniform = options.sampling.temperature == 0.0 ? 0.0 : uniforms.next();
    const TokenId token = sampler.sample(logits, tokens, options.sampling, uniform, nothing);
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
