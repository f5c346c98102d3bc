// What transformers' logits processors made of made-up logits, for every kind of them and vocabularies from 1
// to Qwen2's: fixtures/goldens/sampling/grid.json, made by fixtures/scripts/goldens_sampling_grid.py. The
// file has no logits and no results, but the SHA-256 of both; fixtures/README.md has its format.
#pragma once

#include <cstdint>
#include <filesystem>

namespace plumbline::phases {

// Both sides' samplers over the grid's rows of at most `largest_vocab` tokens: the same bits after every
// stage as transformers', as many tokens kept, and its largest probabilities. Stages that the grid calls
// undecided, where rounding may decide what is kept, are counted and skipped. Records the checks. Throws
// Error where the file is missing or broken.
void record_sampling_grid(const std::filesystem::path& file, std::int64_t largest_vocab);

}  // namespace plumbline::phases
