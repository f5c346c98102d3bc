// The engine that tests of any native engine run: one per test program.
#pragma once

#include <filesystem>
#include <memory>

#include "harness/engine.h"

namespace plumbline::native::testing {

// Throws what the engine throws.
std::unique_ptr<Engine> make_engine_under_test(const std::filesystem::path& directory,
                                               DType storage = DType::f32);

}  // namespace plumbline::native::testing
