// What captures left on the disk, and what they must leave.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "harness/tensor_file.h"
#include "impl/generation/captured_tokens.h"
#include "tests/impl/generation/listening_support.h"

namespace plumbline::native::testing {

std::filesystem::path shard(const std::filesystem::path& directory, int number);
std::size_t files_in(const std::filesystem::path& directory);

// Fails the test where there is none.
Tensor tensor_of(const TensorFile& file, const std::string& name);
std::vector<ActivationOrigin> origins_of(const TensorFile& file);
// What the calls, in their order, must leave.
std::vector<ActivationOrigin> expected_origins(const std::vector<Call>& calls);
// Of a file in which no bytes belong to no tensor, as those of a name that stands twice would.
std::uintmax_t expected_size(const std::filesystem::path& path, const TensorFile& file);

}  // namespace plumbline::native::testing
