// A conversation's settings as JSON, in the file that it is saved to.
#pragma once

#include <nlohmann/json.hpp>

#include "impl/generation/conversation.h"

namespace plumbline::native {

nlohmann::json json_of(const ConversationSettings& settings);
// What json_of() gave. Throws Error or nlohmann::json::exception for anything else.
ConversationSettings conversation_settings_from(const nlohmann::json& json);

}  // namespace plumbline::native
