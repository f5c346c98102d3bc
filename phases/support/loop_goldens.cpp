#include "phases/support/loop_goldens.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "harness/error.h"
#include "phases/support/goldens.h"
#include "phases/support/loop_checks.h"
#include "phases/support/loop_oracle.h"

namespace plumbline::phases {
namespace {

using Tokens = std::vector<TokenId>;

SamplingParams read_sampling(const nlohmann::json& settings) {
  SamplingParams params;
  params.temperature = settings.value("temperature", 0.0);
  params.top_k = settings.value("top_k", std::int64_t{0});
  params.top_p = settings.value("top_p", 1.0);
  params.min_p = settings.value("min_p", 0.0);
  params.repetition_penalty = settings.value("repetition_penalty", 1.0);
  return params;
}

GoldenText read_text(const nlohmann::json& entry, const std::map<std::string, Tokens>& prompts) {
  GoldenText text;
  const std::string prompt = entry.at("prompt");
  text.name = entry.value("name", prompt);
  text.prompt = prompts.at(prompt);
  if (entry.contains("settings")) text.sampling = read_sampling(entry.at("settings"));
  text.tokens = entry.at("new_ids").get<Tokens>();
  text.text = entry.at("new_text");
  return text;
}

GenerationGoldens read(const nlohmann::json& golden, const std::map<std::string, Tokens>& prompts) {
  GenerationGoldens made;
  made.eos_token_ids = golden.at("eos_token_ids").get<std::vector<std::int64_t>>();
  for (const nlohmann::json& entry : golden.at("greedy")) made.greedy.push_back(read_text(entry, prompts));
  made.uniforms = golden.at("uniforms").get<std::vector<double>>();
  for (const nlohmann::json& entry : golden.at("sampled")) made.sampled.push_back(read_text(entry, prompts));
  const nlohmann::json& talk = golden.at("conversation");
  made.system = talk.at("system");
  made.turn_tokens = talk.at("max_new_tokens");
  for (const nlohmann::json& turn : talk.at("turns")) {
    made.turns.push_back({turn.at("user"), turn.at("fed_ids").get<Tokens>(), turn.at("new_ids").get<Tokens>(),
                          turn.at("new_text")});
  }
  return made;
}

Tokens first_of(const Tokens& tokens, std::size_t most) {
  return {tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(std::min(most, tokens.size()))};
}

native::GenerationOutput answer(const LoopKit& kit, const native::GenerationRequest& request) {
  return kit.generator(few_sequences(kit.engine()))->generate(request, nullptr);
}

// As Hugging Face's text has it: special tokens shown.
void check_text(const LoopKit& kit, const GoldenText& golden, const native::GenerationOutput& output,
                const std::string& what, std::vector<Check>& checks) {
  if (kit.tokenizer() == nullptr || output.tokens.size() < golden.tokens.size()) return;
  checks.push_back(check_equal(what, golden.name, golden.text, output.text));
}

}  // namespace

std::optional<GenerationGoldens> read_generation_goldens(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "generation.json";
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    std::map<std::string, Tokens> prompts;
    const nlohmann::json manifest = read_json(directory / "prompts.json");
    for (const nlohmann::json& entry : manifest.at("prompts"))
      prompts[entry.at("name")] = entry.at("input_ids").get<Tokens>();
    return read(read_json(path), prompts);
  } catch (const nlohmann::json::exception& error) {
    throw Error(error.what(), path.string(), "remake the goldens");
  } catch (const std::out_of_range&) {
    throw Error("names a prompt that prompts.json does not have", path.string(), "remake the goldens");
  }
}

std::vector<Check> check_golden_greedy(const LoopKit& kit, const GenerationGoldens& goldens,
                                       std::size_t most) {
  std::vector<Check> checks;
  for (const GoldenText& golden : goldens.greedy) {
    const Tokens expected = first_of(golden.tokens, most);
    native::GenerationRequest request =
        greedy_request(golden.prompt, static_cast<std::int64_t>(expected.size()));
    request.skip_special_tokens = false;
    const native::GenerationOutput output = answer(kit, request);
    checks.push_back(
        check_equal("greedy tokens, golden", golden.name, ids_text(expected), ids_text(output.tokens)));
    check_text(kit, golden, output, "greedy text, golden", checks);
  }
  return checks;
}

std::vector<Check> check_golden_sampled(const LoopKit& kit, const GenerationGoldens& goldens,
                                        std::size_t most) {
  std::vector<Check> checks;
  for (const GoldenText& golden : goldens.sampled) {
    const Tokens expected = first_of(golden.tokens, most);
    native::GenerationRequest request =
        greedy_request(golden.prompt, static_cast<std::int64_t>(expected.size()));
    request.options.sampling = golden.sampling;
    request.options.uniforms = goldens.uniforms;
    request.options.eos_token_ids = goldens.eos_token_ids;
    request.skip_special_tokens = false;
    const native::GenerationOutput output = answer(kit, request);
    checks.push_back(
        check_equal("sampled tokens, golden", golden.name, ids_text(expected), ids_text(output.tokens)));
    check_text(kit, golden, output, "sampled text, golden", checks);
  }
  return checks;
}

std::vector<Check> check_golden_turns(const LoopKit& kit, const GenerationGoldens& goldens,
                                      std::size_t most) {
  native::ConversationSettings settings;
  settings.options.max_new_tokens = goldens.turn_tokens;
  settings.options.eos_token_ids = goldens.eos_token_ids;
  settings.system = goldens.system;
  const auto talk = kit.generator(few_sequences(kit.engine()))->talk(settings);
  std::vector<Check> checks;
  for (std::size_t i = 0; i < std::min(most, goldens.turns.size()); ++i) {
    const GoldenTurn& golden = goldens.turns[i];
    const std::string subject = fmt::format("turn {}", i + 1);
    StepLog log(kit.engine());
    const native::ConversationOutput output = talk->say(golden.said, {}, &log);
    // Besides those, what was generated is fed, but for its last token.
    Tokens fed = golden.fed;
    fed.insert(fed.end(), golden.tokens.begin(), golden.tokens.end() - 1);
    checks.push_back(check_equal("tokens fed in a turn, golden with past_key_values", subject, ids_text(fed),
                                 ids_text(log.tokens())));
    checks.push_back(check_equal("an answer's tokens, golden with past_key_values", subject,
                                 ids_text(golden.tokens), ids_text(output.tokens)));
    checks.push_back(check_equal("an answer's text, golden", subject, golden.text, output.text));
  }
  return checks;
}

}  // namespace plumbline::phases
