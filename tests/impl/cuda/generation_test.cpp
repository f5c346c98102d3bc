// The generation loop over the device: the tokens of the host's sampler, one wait for each, and logits on the
// host only for who looks at them.
#include <algorithm>

#include <catch2/catch.hpp>

#include "impl/cuda/engine.h"
#include "impl/generator.h"
#include "impl/sampler.h"
#include "tests/cuda_emulation/emulation.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;
namespace emulation = plumbline::cuda_emulation;

namespace {

constexpr std::int64_t kTokens = 6;

GenerationRequest request_of(double temperature) {
  GenerationRequest request;
  request.prompt = std::vector<TokenId>{5, 9, 2, 77, 5};
  request.options.max_new_tokens = kTokens;
  request.options.sampling.temperature = temperature;
  request.options.sampling.top_k = 40;
  request.options.sampling.top_p = 0.9;
  request.options.sampling.repetition_penalty = 1.1;
  return request;
}

// What a token of a second run costs: the first one allocates.
emulation::Counters cost_of_run(Engine& engine, const GenerationRequest& request) {
  Generator generator(engine, nullptr);
  generator.generate(request);
  generator.clear();
  emulation::counters() = {};
  generator.generate(request);
  return emulation::counters();
}

}  // namespace

TEST_CASE("cuda generation: the tokens of the host's sampler over the same logits") {
  const auto engine = make_cuda_engine(tiny_model());
  for (const double temperature : {0.0, 0.9}) {
    const GenerationRequest request = request_of(temperature);
    const auto on_device = Generator(*engine, nullptr).generate(request);
    NullSink nothing;
    const auto& prompt = std::get<std::vector<TokenId>>(request.prompt.content());
    CHECK(sampler_for(*engine)->takes_device_logits());
    CHECK(on_device.tokens == generate(*engine, *make_sampler(), prompt, request.options, nothing).tokens);
    CHECK(on_device.tokens.size() == kTokens);
  }
}

TEST_CASE("cuda generation: a token is one wait, and logits come to the host for who looks at them") {
  const auto engine = make_cuda_engine(tiny_model());
  GenerationRequest request = request_of(0.9);
  const emulation::Counters plain = cost_of_run(*engine, request);
  CHECK(plain.copies_to_host == kTokens);
  CHECK(plain.synchronisations == kTokens);
  request.hooks.on_token = [](const TokenEvent&) { return TokenAction{}; };
  CHECK(cost_of_run(*engine, request).copies_to_host == kTokens);
  std::vector<float> seen;
  request.hooks.on_token = [&](const TokenEvent& event) {
    if (event.index == 2) seen.assign(event.logits.begin(), event.logits.end());
    return TokenAction{};
  };
  CHECK(cost_of_run(*engine, request).copies_to_host == kTokens + 1);
  CHECK(static_cast<std::int64_t>(seen.size()) == engine->config().vocab_size);
  request.hooks.on_token = {};
  request.hooks.on_logits = [](LogitsEvent& event) {
    std::fill(event.logits.begin(), event.logits.end(), -1.0f);
    event.logits[7] = 5;
  };
  request.options.sampling.temperature = 0;
  CHECK(cost_of_run(*engine, request).copies_to_host == 2 * kTokens);
  CHECK(Generator(*engine, nullptr).generate(request).tokens == std::vector<TokenId>(kTokens, 7));
}
