// Traces as .safetensors files; docs/trace-format.md is the specification.
#pragma once

#include <filesystem>

#include "harness/trace.h"

namespace plumbline {

// Writes the file whole or not at all. Names carry the prefix "seq.I/step.N/" unless the trace is one step of
// sequence 0. Throws Error when the file cannot be written.
void write_trace(const Trace& trace, const std::filesystem::path& path);

// Throws Error for an unreadable or truncated file, an impossible header, an unknown probe or dtype, a tensor
// that leaves the file, prefixes on some names only. Allocates nothing that the file merely claims.
Trace read_trace(const std::filesystem::path& path);

}  // namespace plumbline
