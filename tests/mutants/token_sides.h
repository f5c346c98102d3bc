// The two sides that phase 2's functions compare, here those of the trial. This unit stands in for
// phases/support/sides.cpp, which a suite has: it defines what those functions ask for by name.
#pragma once

#include <filesystem>

#include "harness/tokenizer.h"

namespace plumbline::mutants {

// tiny's goldens judge. Throws Error where they are not there.
void use_goldens(const std::filesystem::path& fixtures);
// Both must live as long as anything is compared.
void use_tokenizers(const Tokenizer& subject, const Tokenizer& reference);

}  // namespace plumbline::mutants
