#include "phases/support/batch.h"

#include <algorithm>
#include <numeric>

namespace plumbline::phases {

Trace record_batch(Engine& engine, const std::vector<Prompt>& prompts) {
  std::size_t longest = 0;
  std::vector<std::vector<std::int64_t>> positions;
  std::vector<SequenceStep> steps;
  for (const Prompt& prompt : prompts) {
    longest = std::max(longest, prompt.ids.size());
    positions.emplace_back(prompt.ids.size());
    std::iota(positions.back().begin(), positions.back().end(), 0);
  }
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    steps.push_back({static_cast<SequenceId>(i), prompts[i].ids, positions[i], LogitsWanted::all});
  }
  const std::unique_ptr<Cache> cache =
      engine.make_cache({CacheKind::concat, static_cast<std::int64_t>(prompts.size()),
                         static_cast<std::int64_t>(longest), engine.info().storage});
  TraceRecorder recorder(engine);
  recorder.begin(steps, cache.get());
  engine.forward(steps, *cache, recorder);
  return recorder.take();
}

}  // namespace plumbline::phases
