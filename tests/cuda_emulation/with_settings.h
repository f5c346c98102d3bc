// Settings of the emulated device for one test.
#pragma once

#include "tests/cuda_emulation/emulation.h"

namespace plumbline::cuda_emulation {

// Whatever is changed meanwhile is as before when it goes.
class WithSettings {
 public:
  WithSettings() : before_(settings()) {}
  ~WithSettings() { settings() = before_; }
  WithSettings(const WithSettings&) = delete;
  WithSettings& operator=(const WithSettings&) = delete;

 private:
  Settings before_;
};

}  // namespace plumbline::cuda_emulation
