// The files of a report: parts read back, pages written whole or not at all.
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include <fmt/format.h>

#include "harness/error.h"
#include "harness/report.h"

namespace plumbline {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWritableHint = "name a folder that can be written with --report-dir";

// In the same folder as `path`, so that the rename cannot cross a file system.
fs::path temporary_beside(const fs::path& path) {
  return path.parent_path() / fmt::format(".{}.tmp{}", path.filename().string(), ::getpid());
}

void write_whole(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (!file) {
    const std::string reason = std::strerror(errno);
    std::error_code ignored;
    fs::remove(path, ignored);
    throw Error("cannot write: " + reason, path.string(), kWritableHint);
  }
}

void rename_over(const fs::path& from, const fs::path& to) {
  std::error_code problem;
  fs::rename(from, to, problem);
  if (!problem) return;
  std::error_code ignored;
  fs::remove(from, ignored);
  throw Error("cannot write: " + problem.message(), to.string(), kWritableHint);
}

// "phase3_forward.md": a name that phase_page_name gives.
bool is_phase_page(const std::string& name) {
  const std::string_view prefix = "phase", suffix = ".md";
  return name.size() > 10 && name.starts_with(prefix) && name.ends_with(suffix) &&
         std::isdigit(static_cast<unsigned char>(name[5])) != 0 && name[6] == '_';
}

void remove_other_phase_pages(const RunReport& run, const fs::path& directory) {
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    const bool ours = std::ranges::any_of(
        run.phases, [&](const PhaseReport& phase) { return phase_page_name(phase) == name; });
    if (is_phase_page(name) && !ours) fs::remove(entry.path());
  }
}

std::string with_reason(const std::string& text, const std::string& reason) {
  return reason.empty() ? text : text + ": " + reason;
}

// The case that was running when the suite ended becomes a crashed one.
void mark_running_case(PhaseReport& part, const std::string& ending) {
  if (part.running.empty()) return;
  auto at = std::ranges::find(part.cases, part.running, &CaseReport::id);
  if (at == part.cases.end()) {
    CaseReport unnamed;
    unnamed.id = part.running;
    at = part.cases.insert(part.cases.end(), unnamed);
  }
  at->crashed = true;
  at->message = with_reason("the suite ended in this case", ending);
}

}  // namespace

void write_file_atomically(const fs::path& path, const std::string& text) {
  const fs::path temporary = temporary_beside(path);
  write_whole(temporary, text);
  rename_over(temporary, path);
}

PhaseReport read_part(const fs::path& path, const PhaseReport& asked, const std::string& ending) {
  PhaseReport part = asked;
  part.finished = false;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    part.error = with_reason("it left no results", ending);
    return part;
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  try {
    part = phase_from_json(text, path.filename().string());
  } catch (const Error& error) {
    part.error = with_reason(std::string("its results cannot be read: ") + error.what(), ending);
    return part;
  }
  if (part.phase != asked.phase) throw InternalError("a part holds another phase: " + path.string());
  if (!part.finished) {
    mark_running_case(part, ending);
    part.error = ending.empty() ? "it did not reach its end" : ending;
  } else if (!ending.empty()) {
    part.error = ending;
  }
  return part;
}

void write_reports(const RunReport& run, const fs::path& directory) {
  std::error_code problem;
  fs::create_directories(directory, problem);
  if (problem) throw Error("cannot make the folder: " + problem.message(), directory.string(), kWritableHint);

  std::vector<std::pair<fs::path, std::string>> pages;
  for (const PhaseReport& phase : run.phases) {
    pages.emplace_back(directory / phase_page_name(phase), phase_page(phase));
  }
  pages.emplace_back(directory / "report.json", report_json(run));
  pages.emplace_back(directory / "junit.xml", junit_xml(run));
  pages.emplace_back(directory / "SUMMARY.md", summary_page(run));

  // All are written before the first is renamed: a full disk leaves the old reports as they were.
  std::vector<fs::path> temporaries;
  try {
    for (const auto& [path, text] : pages) {
      write_whole(temporary_beside(path), text);
      temporaries.push_back(temporary_beside(path));
    }
  } catch (const Error&) {
    std::error_code ignored;
    for (const fs::path& left : temporaries) fs::remove(left, ignored);
    throw;
  }
  for (const auto& [path, text] : pages) rename_over(temporary_beside(path), path);
  remove_other_phase_pages(run, directory);
}

}  // namespace plumbline
