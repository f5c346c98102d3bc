// The files of a report: parts read back, pages written whole or not at all.
#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>

#include <fmt/format.h>

#include "harness/error.h"
#include "harness/output_file.h"
#include "harness/report.h"
#include "harness/report_markdown.h"

namespace plumbline {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWritableHint = "name a folder that can be written with --report-dir";

// "phase3_forward.md", "phase3_forward_3_4_error_by_layer.svg": a page or a picture of one.
bool is_of_a_phase(const std::string& name) {
  return name.size() > 10 && name.starts_with("phase") && (name.ends_with(".md") || name.ends_with(".svg")) &&
         std::isdigit(static_cast<unsigned char>(name[5])) != 0 && name[6] == '_';
}

// The folders of pages that the report.json there names; none where it cannot be read.
std::set<std::string> earlier_folders(const fs::path& directory) {
  std::set<std::string> folders;
  std::ifstream file(directory / "report.json", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  try {
    for (const PhaseReport& phase : run_from_json(text, "report.json").phases) folders.insert(phase.folder);
  } catch (const Error&) {
    // Something else's file: it tells nothing of our pages.
  }
  return folders;
}

// `written` has the names of this run's files, relative to the reports.
void remove_other_phase_files(const std::set<std::string>& written, const fs::path& directory,
                              const std::string& folder) {
  const fs::path pages = directory / folder;
  if (!fs::is_directory(pages)) return;
  for (const fs::directory_entry& entry : fs::directory_iterator(pages)) {
    const std::string name = entry.path().filename().string();
    const bool ours = written.contains(folder.empty() ? name : folder + "/" + name);
    if (is_of_a_phase(name) && !ours) fs::remove(entry.path());
  }
  std::error_code ignored;
  if (!folder.empty()) fs::remove(pages, ignored);  // unless something is left there
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
  OutputFile file(path, kWritableHint);
  file.write(text);
  file.keep();
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
  const OutputDirectory made(directory);
  std::set<std::string> folders = earlier_folders(directory);
  std::vector<std::unique_ptr<OutputDirectory>> made_folders;
  for (const PhaseReport& phase : run.phases) {
    const bool fresh = folders.insert(phase.folder).second && !phase.folder.empty();
    if (fresh) made_folders.push_back(std::make_unique<OutputDirectory>(directory / phase.folder));
  }
  const Drawings drawings = draw_pictures(run);
  std::map<std::string, std::string> pages = drawings.files;
  for (const PhaseReport& phase : run.phases) pages[phase_page_name(phase)] = phase_page(phase, drawings);
  pages["report.json"] = report_json(run);
  pages["junit.xml"] = junit_xml(run);
  pages["SUMMARY.md"] = summary_page(run);
  std::set<std::string> written;

  // All are written before the first is renamed: a full disk leaves the old reports as they were.
  std::vector<std::unique_ptr<OutputFile>> files;
  for (const auto& [name, text] : pages) {
    written.insert(name);
    files.push_back(std::make_unique<OutputFile>(directory / name, kWritableHint));
    files.back()->write(text);
    files.back()->close();
  }
  for (const std::unique_ptr<OutputFile>& file : files) file->keep();
  folders.insert("");
  for (const std::string& folder : folders) remove_other_phase_files(written, directory, folder);
}

}  // namespace plumbline
