// The chat templates that the native side renders.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace plumbline::native {

// What a template does, as far as the known ones differ.
struct ChatForm {
  enum class Turns {
    plain,       // each message by its role; tools and calls are not looked at
    with_tools,  // as Qwen2.5-Instruct has it: tools in the system's turn, calls and results between tags
  };
  enum class Closes {
    always,
    prompted,  // a last message is left open unless the generation prompt is asked for
  };
  enum class Prompt {
    asked,        // the generation prompt stands where it is asked for
    not_answered  // … but not behind an assistant's message
  };
  Turns turns = Turns::plain;
  Closes closes = Closes::always;
  Prompt prompt = Prompt::asked;
};

struct KnownForm {
  std::string_view fingerprint;  // TemplateForm::fingerprint()
  std::size_t default_systems;   // how many the form has: none, one, or one with tools and one without
  ChatForm form;
  std::string_view name;  // whose template it is
};

std::span<const KnownForm> known_forms();

}  // namespace plumbline::native
