// The third loop's conversations: ChatML written out.
#include <algorithm>

#include <fmt/format.h>

#include "tests/mutants/plain_generator.h"

namespace plumbline::mutants {
namespace {

using M = LoopMistake;
using Tokens = std::vector<TokenId>;

constexpr const char* kDefaultSystem = "You are a helpful assistant.";

std::string message(std::string_view role, std::string_view text) {
  return fmt::format("<|im_start|>{}\n{}<|im_end|>\n", role, text);
}

class PlainTalk final : public phases::TestedConversation {
 public:
  PlainTalk(M planted, std::unique_ptr<phases::TestedGenerator> generator,
            native::ConversationSettings settings)
      : planted_(planted), owner_(std::move(generator)), settings_(std::move(settings)) {
    held_ = encode(message("system", settings_.system.value_or(kDefaultSystem)));
    opening_ = held_.size();
  }

  native::ConversationOutput say(std::string_view text, native::GenerationHooks hooks,
                                 native::StepSink* sink) override {
    std::string said = message("user", text) + "<|im_start|>assistant\n";
    if (planted_ == M::default_system_every_turn && !settings_.system && !begins_.empty())
      said = message("system", kDefaultSystem) + said;
    const Tokens added = encode(said);
    forget_for(added.size() + encode("<|im_end|>\n").size());
    close();
    begins_.push_back(held_.size());
    held_.insert(held_.end(), added.begin(), added.end());
    native::GenerationRequest request;
    request.prompt = held_;
    request.options = settings_.options;
    request.stop_strings = settings_.stop_strings;
    request.hooks = std::move(hooks);
    native::ConversationOutput output;
    static_cast<native::GenerationOutput&>(output) = owner_->generate(std::move(request), sink);
    held_ = owner_->tokens();
    if (planted_ == M::last_token_lost_between_turns) held_.pop_back();
    if (planted_ == M::last_token_written_twice) write_last(sink);
    return output;
  }
  Tokens tokens() const override { return held_; }

 private:
  Tokens encode(const std::string& text) const { return plain().store().tokenizer->encode(text); }
  PlainGenerator& plain() const { return static_cast<PlainGenerator&>(*owner_); }

  void close() {
    if (begins_.empty() || planted_ == M::answer_not_closed) return;
    const Tokens end = encode("<|im_end|>\n");
    held_.insert(held_.end(), end.begin() + (held_.back() == end.front() ? 1 : 0), end.end());
  }

  // The oldest exchanges go until there is room for so many tokens and an answer.
  void forget_for(std::size_t tokens) {
    if (settings_.limit == 0) return;
    const auto most = static_cast<std::size_t>(settings_.limit);
    const auto answer =
        static_cast<std::size_t>(settings_.options.max_new_tokens.value_or(settings_.limit / 4));
    while (!begins_.empty() && held_.size() + tokens + answer > most) {
      std::size_t from = begins_.front();
      std::size_t to = begins_.size() > 1 ? begins_[1] : held_.size();
      if (planted_ == M::eviction_drops_system) from = 0;
      if (planted_ == M::eviction_halves_exchange) to = from + (to - from) / 2;
      held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(from),
                  held_.begin() + static_cast<std::ptrdiff_t>(to));
      begins_.erase(begins_.begin());
      for (std::size_t& each : begins_) each -= to - from;
      if (planted_ == M::eviction_keeps_cache) keep_cache();
    }
  }

  // The cache goes on as it was, as though it held the tokens that are left.
  void keep_cache() {
    PlainSequence& sequence = plain().sequence();
    sequence.tokens = held_;
    sequence.fed = std::min(sequence.fed, held_.size());
    plain().store().cache->crop(sequence.id, static_cast<std::int64_t>(sequence.fed));
  }

  void write_last(native::StepSink* sink) {
    plain().read(sink);
    --plain().sequence().fed;
  }

  M planted_;
  std::unique_ptr<phases::TestedGenerator> owner_;
  native::ConversationSettings settings_;
  Tokens held_;
  std::size_t opening_ = 0;
  std::vector<std::size_t> begins_;  // of the exchanges
};

}  // namespace

std::unique_ptr<phases::TestedConversation> make_plain_talk(
    LoopMistake planted, std::unique_ptr<phases::TestedGenerator> generator,
    native::ConversationSettings settings) {
  return std::make_unique<PlainTalk>(planted, std::move(generator), std::move(settings));
}

}  // namespace plumbline::mutants
