#include "impl/generation/conversation_json.h"

#include <limits>
#include <optional>

#include "harness/error.h"

namespace plumbline::native {
namespace {

using Json = nlohmann::json;

// Numbers that JSON has no way to write.
Json number(double value) {
  return value == -std::numeric_limits<double>::infinity() ? Json("-inf") : Json(value);
}

double number(const Json& value) {
  return value == "-inf" ? -std::numeric_limits<double>::infinity() : value.get<double>();
}

template <typename T>
Json optional(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

template <typename T>
std::optional<T> optional(const Json& value) {
  return value.is_null() ? std::nullopt : std::optional<T>(value.get<T>());
}

Json json_of(const SamplingParams& s) {
  Json biases = Json::array();
  for (const LogitBias& each : s.logit_bias) biases.push_back({each.token, number(each.bias)});
  return {{"temperature", s.temperature},
          {"top_k", s.top_k},
          {"top_p", s.top_p},
          {"min_p", s.min_p},
          {"repetition_penalty", s.repetition_penalty},
          {"presence_penalty", s.presence_penalty},
          {"frequency_penalty", s.frequency_penalty},
          {"logit_bias", biases}};
}

SamplingParams sampling_from(const Json& json) {
  SamplingParams s;
  s.temperature = json.at("temperature");
  s.top_k = json.at("top_k");
  s.top_p = json.at("top_p");
  s.min_p = json.at("min_p");
  s.repetition_penalty = json.at("repetition_penalty");
  s.presence_penalty = json.at("presence_penalty");
  s.frequency_penalty = json.at("frequency_penalty");
  for (const Json& each : json.at("logit_bias")) s.logit_bias.push_back({each.at(0), number(each.at(1))});
  return s;
}

}  // namespace

Json json_of(const ConversationSettings& s) {
  return {{"sampling", json_of(s.options.sampling)},
          {"max_new_tokens", optional(s.options.max_new_tokens)},
          {"max_length", optional(s.options.max_length)},
          {"eos_token_ids", s.options.eos_token_ids},
          {"stop_strings", s.stop_strings},
          {"stream", s.stream},
          {"when_long", static_cast<int>(s.when_long)},
          {"limit", s.limit},
          {"system", optional(s.system)}};
}

ConversationSettings conversation_settings_from(const Json& json) {
  ConversationSettings s;
  s.options.sampling = sampling_from(json.at("sampling"));
  s.options.max_new_tokens = optional<std::int64_t>(json.at("max_new_tokens"));
  s.options.max_length = optional<std::int64_t>(json.at("max_length"));
  s.options.eos_token_ids = json.at("eos_token_ids").get<std::vector<std::int64_t>>();
  s.stop_strings = json.at("stop_strings").get<std::vector<std::string>>();
  s.stream = json.at("stream");
  const int when_long = json.at("when_long");
  if (when_long < 0 || when_long > static_cast<int>(WhenLong::refuse))
    throw Error("has no such when_long", "state");
  s.when_long = static_cast<WhenLong>(when_long);
  s.limit = json.at("limit");
  s.system = optional<std::string>(json.at("system"));
  return s;
}

}  // namespace plumbline::native
