// Phase 5: conversations. Turns over a long cached system prompt: what each costs, and that nothing of it
// changes a bit; eviction; a conversation from a file; transformers' turns with past_key_values.
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "impl/generation/conversation.h"
#include "phases/support/long_talk.h"
#include "phases/support/loop_goldens.h"
#include "phases/support/loop_inputs.h"
#include "phases/support/loop_oracle.h"
#include "phases/support/made_checkpoint.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "phases/support/turn_texts.h"

namespace plumbline::phases {
namespace {

constexpr std::int64_t kSystemTokens = 6287;
constexpr double kAttentionKept = 0.26;  // of the bytes without the cache: at least 74 % fewer
constexpr int kTurns = 20, kThird = 2;
constexpr std::int64_t kAnswer = 16;

native::Generator generator() {
  native::GeneratorSettings settings;
  settings.cache = few_sequences(subject());
  return {subject(), native_tokenizer(), settings};
}

std::optional<ChatTexts> chat_or_skip(const std::string& what) {
  const TextTokenizer text = text_tokenizer();
  auto chat = ChatTexts::of(text.tokenizer);
  if (!chat) record_skip(what, text.reason.empty() ? kNoChat : text.reason);
  return chat;
}

native::ConversationSettings short_answers(const ChatTexts& chat) {
  native::ConversationSettings settings;
  settings.options.max_new_tokens = 6;
  settings.options.eos_token_ids = {chat.end()};
  settings.system = "Answer in one line.";
  return settings;
}

// All turns of a small vocabulary are judged, and two of a real one, where a replay of the logits takes
// longer than the turn. A turn without the cache takes seconds: the first three, or the third, and the last
// are run.
std::vector<TurnTrial> trials_of(int turns) {
  const bool small = subject().config().vocab_size < 20'000;
  std::vector<TurnTrial> trials(static_cast<std::size_t>(turns));
  for (int i = 0; i < turns; ++i) {
    const bool last = i + 1 == turns;
    TurnTrial& trial = trials[static_cast<std::size_t>(i)];
    const bool chosen = last || (!options().quick && (i == kThird || (small && i < kThird)));
    trial.judged = options().quick ? small && last : small || chosen;
    trial.without = chosen;
  }
  return trials;
}

void record_third_turn(const TalkPlan& plan, const std::vector<TalkTurn>& turns) {
  const TalkTurn& third = turns.at(kThird);
  record(check_at_most("third turn: tokens held",
                       fmt::format("{} of them the system prompt", plan.system_tokens), "tokens",
                       static_cast<double>(third.held), 7000));
  const double fresh = static_cast<double>(turns[1].without.processed + third.without.processed);
  record(check_at_most("third turn: tokens processed, its own alone",
                       fmt::format("{:.0f} with the turn before, without the cache", fresh), "tokens",
                       static_cast<double>(third.with.processed), static_cast<double>(third.own)));
}

Evidence reading_aid() {
  return {
      "how to read these tables",
      {},
      {{"Attention MB: heads x queries x keys x 4 bytes, summed over the turn's forward calls; one layer's."},
       {"Without: the turn's whole prompt read with nothing cached, in chunks of 512 tokens, then token by "
        "token. Where there is a time it was run, and the counts are those of its calls; elsewhere they are "
        "counted by the same rule. Every turn's logits are held against the whole text at once, uncached."},
       {"Turns 2 and 3 without the cache are twice the system prompt and what was said; with it they are "
        "their own tokens alone."},
       {"Judged: every forward call of the turn, op by op, scores and probs too. The prefill of the system "
        "prompt is not judged here; 3.5 judges a long one."}}};
}

}  // namespace

TEST_CASE("5C.2 conversations: a second turn over the cache is a full recompute, bit for bit", "[5C.2]") {
  const std::vector<TokenId> first = passage().ids, second = line().ids;
  std::vector<TokenId> both = first;
  both.insert(both.end(), second.begin(), second.end());
  const std::vector<std::int64_t> turns{static_cast<std::int64_t>(first.size()),
                                        static_cast<std::int64_t>(second.size())};
  const Trace whole = record_prefill(subject(), both);
  for (const CacheKind kind : kKinds) {
    const JudgedSteps steps = judge_steps(both, turns, kind);
    record_judgement(steps.judgement, "two turns, " + kind_name(kind));
    record(check_same_bits("second turn's logits", kind_name(kind),
                           last_recorded(steps.subject, {Probe::lm_head, -1}).view(),
                           whole.steps[0].tensors.at({Probe::lm_head, -1}).view().last_rows(turns[1])));
  }
}

TEST_CASE("5C.2 conversations: what a turn reads, and what is forgotten", "[5C.2]") {
  record_loop_checks("5C.2");
}

TEST_CASE("5C.2 conversations: the turns are transformers' with past_key_values", "[5C.2]") {
  if (goldens() && !goldens_judge_subject()) return record_skip("golden turns", why_goldens_do_not_judge());
  const auto golden = goldens() ? read_generation_goldens(goldens()->directory) : std::nullopt;
  if (!golden) return record_skip("golden turns", "there are no generation goldens of this model");
  const auto kit = native_loop_kit(subject(), text_tokenizer().tokenizer);
  record_all(check_golden_turns(*kit, *golden, options().quick ? 3 : golden->turns.size()));
}

TEST_CASE("5C.2 conversations: many turns over a long system prompt that is in the cache", "[5C.2]") {
  const auto chat = chat_or_skip("many turns");
  if (!chat) return;
  const std::int64_t room = subject().config().max_position_embeddings - kTurns * 64;
  const std::int64_t wanted = options().quick ? 320 : kSystemTokens;
  if (room < wanted)
    return record_skip("many turns", fmt::format("the model's context has no room for {} tokens", wanted));
  const int count = options().quick ? 3 : kTurns;
  const TalkPlan plan = make_talk_plan(*native_tokenizer(), wanted, count, options().quick ? 3 : kAnswer);
  const Talk talk = run_talk(plan, trials_of(count));
  record_all(talk.checks);
  for (std::size_t i = 0; i < talk.turns.size(); ++i) {
    const TalkTurn& turn = talk.turns[i];
    const std::string name = fmt::format("turn {}", i + 1);
    record_all(turn.checks);
    record(check_at_most("attention bytes, of those without the cache", name, "share",
                         turn.with.attention_bytes / turn.without.attention_bytes, kAttentionKept));
    if (turn.trial.judged) record_judgement(turn.judgement, name + " over the cached prompt");
  }
  record_third_turn(plan, talk.turns);
  add_evidence(cost_table(plan, talk.turns));
  add_evidence(total_table(plan, talk.turns));
  add_evidence(reading_aid());
}

TEST_CASE("5C.2 conversations: eviction that keeps what attended is said not to be exact", "[5C.2]") {
  const auto chat = chat_or_skip("eviction by keeping");
  if (!chat) return;
  const native::Generator base = generator();
  native::ConversationSettings settings = short_answers(*chat);
  settings.when_long = native::WhenLong::keep;
  settings.limit = 90;
  native::Conversation talk(base, settings);
  bool evicted = false;
  for (int turn = 0; turn < 4; ++turn) {
    const native::ConversationOutput output = talk.say("I have a red ball. What do I have?");
    evicted = evicted || output.evicted_tokens > 0;
    record_equal("an answer over evicted turns is said to be", fmt::format("turn {}", turn + 1),
                 evicted ? "not exact" : "exact", output.exact ? "exact" : "not exact");
  }
  record_equal("turns were evicted", fmt::format("limit {}", settings.limit), "yes", evicted ? "yes" : "no");
}

TEST_CASE("5C.2 conversations: one that was saved and loaded goes on to the same tokens", "[5C.2]") {
  const auto chat = chat_or_skip("a saved conversation");
  if (!chat) return;
  const native::Generator base = generator();
  native::Conversation talk(base, short_answers(*chat));
  talk.say("Count from 3 to 9.");
  const MadeCheckpoint folder("conversation");
  const std::filesystem::path file = folder.directory() / "talk.safetensors";
  talk.save(file);
  const native::Generator other = generator();
  native::Conversation loaded = native::Conversation::load(file, other);
  SeenTokens here, there;
  talk.say("I have a red ball. What do I have?", watch(here));
  const native::ConversationOutput output = loaded.say("I have a red ball. What do I have?", watch(there));
  record_equal("tokens after loading", "second turn", text_of(here.tokens), text_of(there.tokens));
  record_equal("logits after loading", "second turn", "the same bits",
               here.logits == there.logits ? "the same bits" : "other bits");
  record(check_at_most(
      "tokens read again after loading", "first turn", "tokens",
      static_cast<double>(loaded.context().cached() - output.processed_tokens - output.reused_tokens), 0));
}

}  // namespace plumbline::phases
