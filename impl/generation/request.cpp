#include "impl/generation/request.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {

void validate(const GenerationRequest& request, bool has_tokenizer) {
  const GenerationOptions& options = request.options;
  validate(options.sampling);
  for (const auto& [name, limit] :
       {std::pair("max_new_tokens", options.max_new_tokens), std::pair("max_length", options.max_length)}) {
    if (limit.value_or(0) < 0) throw Error(fmt::format("{} is {}", name, *limit), "generate");
  }
  const auto& stops = request.stop_strings;
  if (!has_tokenizer && !stops.empty())
    throw Error("stop strings need a tokenizer", "generate", "end tokens need none");
  if (std::ranges::any_of(stops, &std::string::empty))
    throw Error("a stop string is empty", "generate", "it would stop before the first token");
}

}  // namespace plumbline::native
