// Qwen2's pre-tokenizer: cuts text into the pieces that byte-pair merges work within.
#pragma once

#include <string_view>
#include <vector>

namespace plumbline::native {

// The one pattern this scanner implements; tokenizer.json must hold exactly it.
inline constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The matches of kQwen2Pattern in valid UTF-8, in order; together they are the whole text. Views into `text`.
std::vector<std::string_view> pretokenize(std::string_view text);

}  // namespace plumbline::native
