#include "tests/mutants/loop.h"

#include <algorithm>
#include <numeric>

#include "harness/error.h"
#include "tests/mutants/plain_generator.h"

namespace plumbline::mutants {
namespace {

using M = LoopMistake;
using Tokens = std::vector<TokenId>;

std::size_t common_prefix(const Tokens& a, const Tokens& b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

PlainGenerator::PlainGenerator(LoopMistake planted, std::shared_ptr<PlainStore> store)
    : planted_(planted),
      store_(std::move(store)),
      sampler_(make_plain_sampler(SamplingMistake::none)),
      sequence_(take()) {}

PlainSequence PlainGenerator::take() const {
  require(store_->next < store_->cache->spec().max_sequences, "the third loop's sequences are used up");
  return {store_->next++, {}, 0};
}

PlainSequence PlainGenerator::copy_of(const PlainSequence& from) const {
  PlainSequence copy = take();
  if (is(M::fork_shares_storage)) {
    copy.id = from.id;
  } else {
    store_->cache->fork(from.id, copy.id);
  }
  copy.tokens = from.tokens;
  copy.fed = from.fed;
  return copy;
}

std::unique_ptr<phases::TestedGenerator> PlainGenerator::fork() const {
  auto other = std::make_unique<PlainGenerator>(planted_, store_);
  other->sequence_ = copy_of(sequence_);
  return other;
}

std::unique_ptr<phases::TestedConversation> PlainGenerator::talk(
    native::ConversationSettings settings) const {
  return make_plain_talk(planted_, fork(), std::move(settings));
}

void PlainGenerator::hold(Tokens tokens) {
  replace(sequence_, std::move(tokens));
}

void PlainGenerator::cut(PlainSequence& sequence, std::size_t length) const {
  // A mistake may have left less than was fed.
  const auto held = store_->cache->length(sequence.id);
  store_->cache->crop(sequence.id, std::min(static_cast<std::int64_t>(length), held));
  sequence.fed = length;
}

void PlainGenerator::replace(PlainSequence& sequence, Tokens tokens) const {
  std::size_t same = common_prefix(sequence.tokens, tokens);
  if (is(M::prefix_read_again)) same = 0;
  if (is(M::crop_one_too_many) && same < sequence.fed && same + 1 < tokens.size()) ++same;
  if (same < sequence.fed) {
    cut(sequence, same);
  }
  sequence.tokens = std::move(tokens);
}

// False where there is nothing to go on from.
bool PlainGenerator::take_up(PlainSequence& sequence, const native::Prompt& prompt) const {
  const auto* ids = std::get_if<Tokens>(&prompt.content());
  if (ids != nullptr && !ids->empty()) {
    Tokens tokens = prompt.is_more() ? sequence.tokens : Tokens();
    tokens.insert(tokens.end(), ids->begin(), ids->end());
    replace(sequence, std::move(tokens));
    return true;
  }
  if (is(M::empty_prompt_forgets)) replace(sequence, {});
  if (!sequence.tokens.empty()) return true;
  const ModelConfig& config = store_->engine->config();
  if (is(M::empty_prompt_without_start)) return false;
  if (config.bos_token_id) {
    sequence.tokens = {static_cast<TokenId>(*config.bos_token_id)};
  } else if (!config.eos_token_ids.empty()) {
    sequence.tokens = {static_cast<TokenId>(config.eos_token_ids.front())};
  }
  return !sequence.tokens.empty();
}

std::optional<StopReason> PlainGenerator::limit_of(const PlainRow& row) const {
  const GenerationOptions& options = row.request->options;
  const auto made = static_cast<std::int64_t>(row.output.tokens.size());
  const auto held = static_cast<std::int64_t>(row.sequence->tokens.size());
  const std::int64_t late = is(M::one_token_too_many) ? 1 : 0;
  if (options.max_new_tokens && made >= *options.max_new_tokens + late) return StopReason::max_new_tokens;
  const std::int64_t counted = is(M::max_length_of_new_tokens) ? made : held;
  if (!options.max_new_tokens && options.max_length && counted >= *options.max_length)
    return StopReason::max_length;
  if (held >= store_->limit + (is(M::full_one_too_late) ? 1 : 0)) return StopReason::context_full;
  return std::nullopt;
}

void PlainGenerator::begin(PlainRow& row) const {
  PlainSequence& sequence = *row.sequence;
  row.given = sequence.tokens.size();
  const auto& ends = row.request->options.eos_token_ids;
  const auto in_prompt = [&](std::int64_t end) {
    return std::ranges::find(sequence.tokens, static_cast<TokenId>(end)) != sequence.tokens.end();
  };
  if (is(M::end_token_in_prompt_stops) && std::ranges::any_of(ends, in_prompt))
    return finish(row, StopReason::eos);
  if (const auto reason = limit_of(row)) return finish(row, *reason);
  if (sequence.fed == sequence.tokens.size()) {  // one has to be fed to have logits
    cut(sequence, sequence.fed - 1);
  }
  row.output.reused_tokens = static_cast<std::int64_t>(sequence.fed);
  if (is(M::positions_restart)) row.first_position = sequence.fed;
  if (is(M::cached_not_attended) && sequence.fed > 0) store_->cache->clear(sequence.id);
}

native::GenerationOutput PlainGenerator::generate(native::GenerationRequest request, native::StepSink* sink) {
  std::vector<PlainRow> rows(1);
  rows[0].sequence = &sequence_;
  rows[0].request = &request;
  rows[0].output.stop = StopReason::no_prompt;
  if (take_up(sequence_, request.prompt)) run(rows, sink);
  return std::move(rows[0].output);
}

std::vector<native::GenerationOutput> PlainGenerator::generate_batch(
    std::span<const native::GenerationRequest> batch, native::StepSink* sink) {
  std::vector<PlainSequence> sequences;
  for (const native::GenerationRequest& request : batch) {
    sequences.push_back(copy_of(sequence_));
    require(take_up(sequences.back(), request.prompt), "the third loop's batches have prompts");
  }
  std::vector<PlainRow> rows(batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    rows[i].sequence = &sequences[i];
    rows[i].request = &batch[i];
  }
  run(rows, sink);
  std::vector<native::GenerationOutput> outputs;
  for (PlainRow& row : rows) outputs.push_back(std::move(row.output));
  return outputs;
}

void PlainGenerator::run(std::vector<PlainRow>& rows, native::StepSink* sink) {
  NullSink nothing;
  ProbeSink& probes = sink == nullptr ? static_cast<ProbeSink&>(nothing) : *sink;
  for (PlainRow& row : rows) begin(row);
  while (std::ranges::any_of(rows, &PlainRow::active)) {
    std::vector<SequenceStep> steps;
    std::vector<PlainRow*> computed;
    std::vector<std::vector<std::int64_t>> positions(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      PlainRow& row = rows[i];
      PlainSequence& sequence = *row.sequence;
      if (!row.active && !is(M::ended_row_goes_on)) continue;
      if (sequence.fed == sequence.tokens.size()) continue;
      const auto fresh = std::span(sequence.tokens).subspan(sequence.fed);
      positions[i].resize(fresh.size());
      std::iota(positions[i].begin(), positions[i].end(),
                static_cast<std::int64_t>(sequence.fed - row.first_position));
      steps.push_back({sequence.id, fresh, positions[i], LogitsWanted::last});
      computed.push_back(&row);
    }
    if (sink != nullptr) sink->begin(steps);
    const Logits logits = store_->engine->forward(steps, *store_->cache, probes);
    for (std::size_t i = 0; i < computed.size(); ++i) {
      const std::size_t from = is(M::rows_take_first_rows_logits) ? 0 : i;
      computed[i]->sequence->fed = computed[i]->sequence->tokens.size();
      const Tensor row = store_->engine->to_host(logits.steps.at(from));
      if (computed[i]->active) advance(*computed[i], row.values<float>(), probes);
    }
  }
}

TokenId PlainGenerator::choose(const PlainRow& row, std::span<const float> scores, ProbeSink& sink) {
  const GenerationOptions& options = row.request->options;
  SamplingStep step{{scores.data(), DType::f32, {static_cast<std::int64_t>(scores.size())}},
                    row.sequence->tokens,
                    row.penalized};
  step.row = row.request->stream;
  step.step = row.sequence->tokens.size();
  if (options.sampling.temperature != 0 && !options.uniforms.empty()) {
    std::size_t draw = row.output.tokens.size();
    if (is(M::uniforms_from_the_second_on)) ++draw;
    step.uniform = options.uniforms.at(std::min(draw, options.uniforms.size() - 1));
  }
  return sampler_->sample(step, options.sampling, sink);
}

void PlainGenerator::advance(PlainRow& row, std::span<const float> logits, ProbeSink& sink) {
  const native::GenerationHooks& hooks = row.request->hooks;
  Tokens& held = row.sequence->tokens;
  const auto index = static_cast<std::int64_t>(row.output.tokens.size());
  std::vector<float> scores(logits.begin(), logits.end());
  native::LogitsEvent edit{0, index, static_cast<std::int64_t>(held.size()), scores};
  if (hooks.on_logits) hooks.on_logits(edit);
  TokenId token = choose(row, is(M::edited_logits_ignored) ? logits : std::span<const float>(scores), sink);
  native::TokenAction action;
  if (hooks.on_token) {
    native::TokenEvent event;
    event.sequence = row.sequence->id;
    event.index = index;
    event.position = edit.position;
    event.token = token;
    const std::string text =
        store_->tokenizer == nullptr ? std::string() : store_->tokenizer->decode({&token, 1}, true);
    event.text = text;
    event.logits = is(M::edited_logits_shown) ? std::span<const float>(scores) : logits;
    action = hooks.on_token(event);
  }
  const TokenId chosen = token;
  if (action.force) token = *action.force;
  row.output.tokens.push_back(token);
  ++row.penalized;
  const bool skipped = !action.insert.empty() && is(M::insertion_without_token_before);
  if (!skipped) held.push_back(is(M::forced_token_not_read) ? chosen : token);
  held.insert(held.end(), action.insert.begin(), action.insert.end());
  if (!action.insert.empty()) row.penalized = 0;
  const auto& ends = row.request->options.eos_token_ids;
  const auto last = is(M::first_end_token_alone) && !ends.empty() ? ends.begin() + 1 : ends.end();
  const bool ended = std::find(ends.begin(), last, std::int64_t{token}) != last;
  if (ended && is(M::end_token_dropped)) row.output.tokens.pop_back();
  say(row, token);
  if (!row.active) return;  // a stop string
  if (ended && action.insert.empty()) return finish(row, StopReason::eos);
  if (action.stop && !is(M::callback_cannot_stop)) return finish(row, StopReason::callback);
  if (const auto reason = limit_of(row)) finish(row, *reason);
}

void PlainGenerator::read(native::StepSink* sink) {
  NullSink nothing;
  std::vector<std::int64_t> positions(sequence_.tokens.size() - sequence_.fed);
  std::iota(positions.begin(), positions.end(), static_cast<std::int64_t>(sequence_.fed));
  const SequenceStep step{sequence_.id, std::span(sequence_.tokens).subspan(sequence_.fed), positions,
                          LogitsWanted::none};
  if (sink != nullptr) sink->begin({&step, 1});
  store_->engine->forward({&step, 1}, *store_->cache, nothing);
  sequence_.fed = sequence_.tokens.size();
}

}  // namespace plumbline::mutants
