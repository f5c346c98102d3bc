#include "phases/support/token_recorded.h"

#include <fmt/format.h>

#include "harness/error.h"
#include "phases/support/goldens.h"
#include "phases/support/suite.h"

namespace plumbline::phases {
namespace {

Evidence table_of(const nlohmann::json& record) {
  Evidence table{
      fmt::format("Random texts, recorded on {} at commit {} with the vocabulary {} by "
                  "tools/token_differential.py; not run here",
                  record.at("date").get<std::string>(), record.at("commit").get<std::string>().substr(0, 12),
                  record.at("tokenizer_sha256").get<std::string>().substr(0, 12)),
      {"native against", "seed", "texts", "compared", "not asked of it", "mismatches"},
      {}};
  for (const auto& [name, counts] : record.at("runs").items()) {
    const auto texts = counts.at("texts").get<std::int64_t>(),
               compared = counts.at("compared").get<std::int64_t>();
    table.rows.push_back({name, std::to_string(counts.at("seed").get<std::uint64_t>()), std::to_string(texts),
                          std::to_string(compared), std::to_string(texts - compared),
                          std::to_string(counts.at("mismatches").get<std::int64_t>())});
  }
  return table;
}

}  // namespace

void show_recorded_differential() {
  const std::filesystem::path path = options().fixtures / "recorded" / "token_differential.json";
  if (!std::filesystem::exists(path)) return;
  try {
    add_evidence(table_of(read_json(path)));
  } catch (const nlohmann::json::exception& error) {
    throw Error(error.what(), path.string(), "remake it with tools/token_differential.py");
  }
}

}  // namespace plumbline::phases
