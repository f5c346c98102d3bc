// Traces as .safetensors files; docs/trace-format.md is the specification.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "harness/trace.h"

namespace plumbline {

// Writes the file whole or not at all. Names carry the prefix "seq.I/step.N/" unless the trace is one step of
// sequence 0. Throws Error when the file cannot be written.
void write_trace(const Trace& trace, const std::filesystem::path& path);

// Throws Error for an unreadable or truncated file, an impossible header, an unknown probe or dtype, a tensor
// that leaves the file, prefixes on some names only. Allocates nothing that the file merely claims.
Trace read_trace(const std::filesystem::path& path);

// What a trace's file says of itself. Throws Error, naming `where`, for another format version, an unknown
// dtype or device.
TraceMetadata trace_metadata(const std::map<std::string, std::string>& entries, const std::string& where);

// The name of a trace's tensor with its prefix: "seq.0/step.0/model.norm",
// "seq.0/initial/past_key_values.0.key". Throws Error, naming `where`, for a name that no trace has.
std::string full_trace_name(const std::string& name, const std::string& where);

}  // namespace plumbline
