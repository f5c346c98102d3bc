// The caches that an engine can be asked for, by name, and which of them it refuses.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/engine.h"

namespace plumbline::phases {

std::string layout_name(CacheLayout layout);     // "sequence x heads", "heads x sequence", "sequence, flat"
std::string packing_name(CachePacking packing);  // "separate", "interleaved", "concatenated"
// "fixed, heads x sequence, interleaved, prefill apart, ring, bf16"; what is not said is the default.
std::string cache_name(const CacheSpec& spec);

// Every layout and packing of both kinds, in f32; of the fixed cache also with a buffer of `prefill` slots
// apart (0: none). A fixed cache has room for `capacity` tokens however they come in: slots of the prefill's
// own buffer are beside them.
std::vector<CacheSpec> cache_specs(std::int64_t sequences, std::int64_t capacity, std::int64_t prefill = 0);
// One of each kind, layout and packing at least once: for a quick look.
std::vector<CacheSpec> few_cache_specs(std::int64_t sequences, std::int64_t capacity,
                                       std::int64_t prefill = 0);

// What an engine would not make, and why.
class Refusals {
 public:
  // Null where the engine refuses the spec with an Error; the first one for each name is kept.
  std::unique_ptr<Cache> make(const Engine& engine, const CacheSpec& spec);
  const std::map<std::string, std::string>& reasons() const { return reasons_; }  // by the spec's name

 private:
  std::map<std::string, std::string> reasons_;
};

}  // namespace plumbline::phases
