// Traces as .safetensors files; docs/trace-format.md is the specification.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "harness/tensor_file.h"
#include "harness/trace.h"

namespace plumbline {

// Writes the file whole or not at all. Names carry the prefix "seq.I/step.N/" unless the trace is one step of
// sequence 0. Throws Error when the file cannot be written.
void write_trace(const Trace& trace, const std::filesystem::path& path);

// Throws Error for an unreadable or truncated file, an impossible header, an unknown probe or dtype, a tensor
// that leaves the file, prefixes on some names only. Allocates nothing that the file merely claims.
Trace read_trace(const std::filesystem::path& path);

// The same, its tensors read where they lie on the disk or in the page cache, and let go of when the judge is
// done with them. While it lives, nobody may shorten the file.
Trace map_trace(const std::filesystem::path& path);

// Writes a trace as it is recorded, tensor by tensor; the file is there whole after keep(), or not at all.
class TraceFileWriter {
 public:
  // Of sequence 0, `steps` forward calls. Throws Error when the file cannot be written.
  TraceFileWriter(const std::filesystem::path& path, const ProbeFilter& filter, int layers,
                  std::size_t steps);
  void add(SequenceId sequence, int step, OpSite site, const TensorView& view);  // contiguous, on the host
  void keep(const Trace& outline);                                               // its metadata and rings
  std::size_t tensors() const { return tensors_; }

 private:
  static std::size_t header_room(const ProbeFilter& filter, int layers, std::size_t steps);

  bool single_;
  TensorFileWriter file_;
  std::size_t tensors_ = 0;
};

// What a trace's file says of itself. Throws Error, naming `where`, for another format version, an unknown
// dtype or device.
TraceMetadata trace_metadata(const std::map<std::string, std::string>& entries, const std::string& where);

// The name of a trace's tensor with its prefix: "seq.0/step.0/model.norm",
// "seq.0/initial/past_key_values.0.key". Throws Error, naming `where`, for a name that no trace has.
std::string full_trace_name(const std::string& name, const std::string& where);

}  // namespace plumbline
