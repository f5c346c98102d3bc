// What the readers of tokenizer files share: fields of their JSON, checked one by one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "impl/tokenization/tokenizer_file.h"

namespace plumbline::native {

// Throws Error "<part> is <found>, which is not supported".
[[noreturn]] void refuse(const std::string& where, std::string_view part, const nlohmann::json& found,
                         std::string_view hint = {});

// Null when absent.
const nlohmann::json& field(const nlohmann::json& object, const char* name);

// {"token": id, …}, in byte-level alphabet.
std::vector<TokenizerFile::Token> read_vocab(const nlohmann::json& vocab, const std::string& where);

// `kind` and `name` are for errors.
TokenId token_id(const nlohmann::json& value, std::string_view kind, const std::string& name,
                 const std::string& where);

// "a b"; `rank` is for errors.
TokenizerFile::Merge parse_merge(const std::string& text, std::size_t rank, const std::string& where);

// {"content": …, flags}, and its id.
AddedToken read_added(const nlohmann::json& entry, const nlohmann::json& id, const std::string& where);

}  // namespace plumbline::native
