// Decode steps of an engine over its caches, for cache_bench: each prints its figures and says whether they
// are what is asked.
#pragma once

#include <cstdint>
#include <filesystem>

#include "harness/engine.h"

namespace plumbline::bench {

struct CacheBenchOptions {
  std::filesystem::path model;
  std::int64_t tokens = 2048;  // held
  int rounds = 15;             // pairs for each figure
  int threads = 1;             // of the engine
  bool check = false;
};

// A step over a fixed cache with four times the room it needs, over one that is just full.
bool measure_masking(Engine& engine, const CacheBenchOptions& options);
// Steps against the context's length: how straight the line is, and its slope over what reading the cache's
// bytes takes.
bool measure_slope(Engine& engine, const CacheBenchOptions& options);
// Of a fixed and of a growing cache for one task.
void measure_bytes(Engine& engine);

}  // namespace plumbline::bench
