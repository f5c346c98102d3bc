#include "impl/generation/row.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {
namespace {

// Adds what passes until it goes to a total.
class Stopwatch {
 public:
  explicit Stopwatch(double& total) : total_(total), start_(Clock::now()) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() { total_ += seconds_since(start_); }

 private:
  double& total_;
  Clock::time_point start_;
};

}  // namespace

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Row::Row(std::size_t number, Context& context, std::int64_t settled, GenerationRequest request,
         const Tokenizer* tokenizer, Clock::time_point start)
    : number_(number),
      context_(&context),
      settled_(settled),
      request_(std::move(request)),
      stop_strings_(request_.stop_strings),
      start_(start) {
  if (tokenizer != nullptr) text_.emplace(*tokenizer, request_.skip_special_tokens);
  output_.sequence = context.sequence();
  output_.prompt_tokens = context.length();
  output_.exact = true;
  if (const auto full = limit_reached()) {
    stop(*full);
  } else {
    context.reopen_last();
  }
  output_.reused_tokens = context.cached();
}

std::optional<StopReason> Row::limit_reached() const {
  const GenerationOptions& options = request_.options;
  if (options.max_new_tokens) {
    if (generated() >= *options.max_new_tokens) return StopReason::max_new_tokens;
  } else if (options.max_length && context_->length() >= *options.max_length) {
    return StopReason::max_length;
  }
  const bool full = context_->length() >= context_->limit() || context_->next_position() >= context_->limit();
  if (full) return StopReason::context_full;
  return std::nullopt;
}

void Row::stop(StopReason reason) {
  if (text_) {
    std::string rest = stop_strings_.push(text_->finish());
    rest += stop_strings_.finish();
    emit(rest);
  }
  active_ = false;
  output_.stop = reason;
}

SequenceStep Row::next_step(std::int64_t most) {
  if (request_.hooks.interrupt != nullptr && *request_.hooks.interrupt) {
    abandon();
    stop(StopReason::interrupted);
    return {};
  }
  return context_->next_step(most);
}

void Row::computed(const SequenceStep& step, StepLogits& logits, double seconds, Sampler& sampler,
                   ProbeSink& sink) {
  output_.processed_tokens += static_cast<std::int64_t>(step.tokens.size());
  forward_seconds_ += seconds;
  (output_.tokens.empty() ? output_.timings.prefill : output_.timings.decode) += seconds;
  if (step.logits == LogitsWanted::none) return;
  vocab_ = logits.vocab();
  output_.exact = output_.exact && context_->exact();
  TokenId token = choose(logits, sampler, sink);
  const TokenAction action = consult(token, logits);
  if (action.force) require_known(token = *action.force);
  if (action.insert.empty()) {
    accept(token);
  } else {
    insert(token, action.insert);
  }
  const bool inserted = !action.insert.empty();
  if (generated() == 1) output_.timings.to_first_token = seconds_since(start_);
  forward_seconds_ = 0;
  std::optional<StopReason> reason = inserted ? limit_reached() : reason_to_stop(token, !action.stop);
  if (action.stop && inserted) reason = StopReason::callback;
  if (reason) stop(*reason);
}

TokenId Row::choose(StepLogits& logits, Sampler& sampler, ProbeSink& sink) {
  const GenerationOptions& options = request_.options;
  std::optional<TensorView> edited;
  if (request_.hooks.on_logits) {
    const Stopwatch watch(output_.timings.hooks);
    const std::span<const float> own = logits.on_host();
    edited_.assign(own.begin(), own.end());
    LogitsEvent event{number_, generated(), context_->next_position(), edited_};
    request_.hooks.on_logits(event);
    edited = TensorView(edited_.data(), DType::f32, {vocab_});
  }
  const TensorView scores = edited ? *edited : logits.for_sampler();
  sampling_seconds_ = 0;
  TokenId token = 0;
  {
    const Stopwatch watch(sampling_seconds_);
    SamplingStep step{scores, context_->tokens(), penalized_};
    step.row = request_.stream;
    // Its number is a position: who goes on with a longer prompt repeats no draw.
    step.step = static_cast<std::uint64_t>(context_->next_position());
    if (options.sampling.temperature != 0.0 && !options.uniforms.empty()) {
      const auto draw = static_cast<std::size_t>(generated());
      if (draw >= options.uniforms.size()) {
        throw Error(fmt::format("there are {} uniforms, and another draw", options.uniforms.size()),
                    "generate");
      }
      step.uniform = options.uniforms[draw];
    }
    token = sampler.sample(step, options.sampling, sink);
  }
  output_.timings.sampling += sampling_seconds_;
  return token;
}

TokenAction Row::consult(TokenId token, StepLogits& logits) {
  if (!request_.hooks.on_token) return {};
  const Stopwatch watch(output_.timings.hooks);
  std::string text;
  if (text_) text = TextStream(*text_).push(token);
  const TokenEvent event{
      number_, context_->sequence(), generated(),      context_->next_position(), token,
      text,    TokenLogits(logits),  forward_seconds_, sampling_seconds_,         seconds_since(start_)};
  return request_.hooks.on_token(event);
}

void Row::require_known(TokenId token) const {
  if (token < 0 || token >= vocab_) {
    throw Error(fmt::format("token {} is not in the vocabulary of {}", token, vocab_), "on_token");
  }
}

std::string Row::text_of(TokenId token) {
  return text_ ? text_->push(token) : std::string();
}

void Row::emit(const std::string& text) {
  if (text.empty()) return;
  output_.text += text;
  if (!request_.hooks.on_text) return;
  const Stopwatch watch(output_.timings.hooks);
  request_.hooks.on_text(text);
}

void Row::accept(TokenId token) {
  const std::string text = text_of(token);
  context_->append({&token, 1});
  output_.tokens.push_back(token);
  ++penalized_;
  emit(stop_strings_.push(text));
}

void Row::insert(TokenId token, std::span<const TokenId> tokens) {
  for (const TokenId each : tokens) require_known(each);
  if (context_->length() + 1 + static_cast<std::int64_t>(tokens.size()) > context_->limit()) {
    throw Error(fmt::format("{} tokens to insert do not fit behind {} of {}", tokens.size(),
                            context_->length() + 1, context_->limit()),
                "on_token");
  }
  context_->append({&token, 1});
  context_->append(tokens);
  output_.tokens.push_back(token);
  output_.inserted_tokens += static_cast<std::int64_t>(tokens.size());
  penalized_ = 0;
  // Stop strings are looked for in what is generated: not across an insertion.
  std::string text = stop_strings_.finish() + text_of(token);
  for (const TokenId each : tokens) text += text_of(each);
  stop_strings_ = StopStrings(request_.stop_strings);
  emit(text);
}

std::optional<StopReason> Row::reason_to_stop(TokenId token, bool wanted) const {
  const auto& ends = request_.options.eos_token_ids;
  if (std::find(ends.begin(), ends.end(), std::int64_t{token}) != ends.end()) return StopReason::eos;
  if (stop_strings_.found()) return StopReason::stop_string;
  if (!wanted) return StopReason::callback;
  return limit_reached();
}

void Row::abandon() {
  if (generated() == 0) context_->crop(std::max(settled_, context_->cached()));
}

GenerationOutput Row::take_output() {
  output_.stop_string = stop_strings_.found().value_or("");
  output_.cache_length = context_->cached();
  output_.cache_bytes = context_->cache().bytes();
  output_.timings.total = seconds_since(start_);
  return std::move(output_);
}

}  // namespace plumbline::native
