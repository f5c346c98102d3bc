// The code of docs/generate.md, compiled and run as it stands there (tests/checks/doc_code.py compares them),
// with checks of what the page says about it.
//
//   generate_walkthrough MODEL DIRECTORY
#include <filesystem>
#include <iostream>

#include "impl/cpu/engine.h"
#include "impl/generation/attention_patterns.h"
#include "impl/generation/capture.h"
#include "impl/generation/conversation.h"
#include "impl/generation/intervention.h"
#include "impl/generation/layer_summary.h"
#include "impl/generator.h"
#include "impl/tokenizer.h"

using namespace plumbline;

namespace {

void check(bool true_as_the_page_says, const char* what) {
  if (!true_as_the_page_says) throw InternalError(std::string("docs/generate.md: ") + what);
}

void walk(const std::filesystem::path& model, const std::filesystem::path& folder) {
  // start
  const auto engine = native::make_cpu_engine(model, {});
  const auto tokenizer = native::load_tokenizer(model);
  native::Generator generator(*engine, tokenizer.get());

  native::GenerationRequest request;
  request.prompt = "1 2 3 4";
  request.options.max_new_tokens = 16;
  request.options.eos_token_ids = engine->config().eos_token_ids;
  const native::GenerationOutput output = generator.generate(request);
  std::cout << output.text << '\n';
  check(output.tokens.size() > 1, "text comes out");

  // one call shape
  request.prompt = std::vector<TokenId>{220, 17};  // ids
  generator.generate(request);
  request.prompt = std::vector<ChatMessage>{{"user", "1 2 3"}};  // a chat, rendered as the checkpoint asks
  generator.generate(request);
  native::GenerationRequest other = request;
  other.prompt = "the quick brown";
  const auto both = generator.generate(std::vector{request, other});  // a batch: a row for each
  check(both.size() == 2 && both[1].tokens != both[0].tokens, "rows of their own");

  // system prompt
  generator.clear();
  const native::PrefixReport read = generator.cache_system_prompt("You count.");
  request.prompt = "1 2 3";  // under a system prompt, a text is a user's message
  const native::GenerationOutput answer = generator.generate(request);
  std::cout << answer.reused_tokens << " of " << answer.prompt_tokens << " tokens were in the cache\n";
  check(answer.reused_tokens == read.tokens, "the system prompt is not read again");

  // levels
  native::Generator with_tools = generator.fork();
  with_tools.cache_system_prompt("You count.");
  with_tools.extend(tokenizer->encode("tools: …"));
  check(with_tools.context().length() > generator.cache_system_prompt("You count.").tokens, "another level");

  // conversation
  native::ConversationSettings settings;
  settings.options = request.options;
  settings.limit = 2048;                             // tokens; beyond it the oldest turns go
  settings.when_long = native::WhenLong::recompute;  // as if they had never been
  native::Conversation talk(generator, settings);
  talk.say("1 2 3 4");
  const native::ConversationOutput turn = talk.say("5 6 7");
  std::cout << turn.text << ", after reading " << turn.processed_tokens << " tokens\n";
  native::Conversation elsewhere = talk.fork();  // goes its own way from here
  talk.take_back();                              // "5 6 7" was never said
  check(talk.turns().size() == 2 && elsewhere.turns().size() == 4, "a fork is its own");

  // save
  talk.save(folder / "talk.safetensors");
  native::Conversation again = native::Conversation::load(folder / "talk.safetensors", generator);
  check(again.say("5 6 7").text == talk.say("5 6 7").text, "goes on to the same tokens");

  // callbacks
  native::GenerationHooks hooks;
  hooks.on_text = [](std::string_view text) { std::cout << text << std::flush; };
  hooks.on_token = [&](const native::TokenEvent& event) {
    native::TokenAction action;
    action.stop = event.probability_of(event.token) < 0.01;  // it is guessing
    return action;
  };
  hooks.on_logits = [](native::LogitsEvent& event) {
    event.logits[7] -= 2;  // token 7 is made less likely
  };
  request.hooks = hooks;
  generator.generate(request);

  // tool
  const std::vector<TokenId> result = tokenizer->encode(" 42 ");
  request.hooks = {};
  request.hooks.on_token = [&](const native::TokenEvent& event) {
    native::TokenAction action;
    if (event.index == 2) action.insert = result;  // behind the third token: the tool's answer
    return action;
  };
  const native::GenerationOutput with_result = generator.generate(request);
  check(with_result.text.find(" 42 ") != std::string::npos, "the tool's answer is in the text");
  check(with_result.inserted_tokens == static_cast<std::int64_t>(result.size()), "and counted apart");
  request.hooks = {};

  // capture
  native::CaptureWriter capture(
      *engine, {.directory = folder / "captures", .patterns = {"model.embed_tokens", "*_residual"}});
  native::AttentionPatterns patterns(*engine, {.layers = {0, 4}, .top_keys = 4});
  native::LayerSummary plain(*engine);
  native::SinkList listeners;
  listeners.add(capture);
  listeners.add(patterns);
  listeners.add(plain);
  generator.generate(request, &listeners);
  capture.finish();  // the last shard; throws where it cannot be written
  for (const native::AttendedKey& each : patterns.top(patterns.tokens() - 1, /*layer=*/4, /*head=*/0))
    std::cout << "the last token looks at token " << each.key << ", weight " << each.weight << '\n';
  std::cout << plain.text();
  check(std::filesystem::exists(folder / "captures" / "capture-00000.safetensors"), "a shard");

  // intervention
  std::vector<float> direction(static_cast<std::size_t>(engine->config().hidden_size), 0.0f);
  direction[17] = 8;
  native::Interventions steer(*engine, {{.site = {Probe::mlp_residual, 2},
                                         .kind = native::InterventionKind::add,
                                         .values = direction,
                                         .positions = native::PositionSet::range(5)},  // from position 5 on
                                        {.site = {Probe::context, 3},
                                         .kind = native::InterventionKind::scale,
                                         .values = {0},
                                         .heads = {1, 4}}});  // two heads off
  native::LayerSummary steered(*engine);
  native::SinkList sinks;
  sinks.add(steer);
  sinks.add(steered);
  generator.clear();  // what is cached was computed without the intervention
  const native::GenerationOutput changed = generator.generate(request, &sinks);
  std::cout << changed.text << '\n' << text_of(compare(plain, steered));
  check(!compare(plain, steered).empty(), "layers to compare");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    walk(argv[1], argv[2]);
  } catch (const std::exception& problem) {
    std::cerr << "generate_walkthrough: " << problem.what() << '\n';
    return 1;
  }
  return 0;
}
