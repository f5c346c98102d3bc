#include "reference/jinja/render.h"

#include "reference/jinja/evaluate.h"

namespace plumbline::reference::jinja {
namespace {

class Renderer {
 public:
  Renderer(const Dict& variables, const std::string& where) : evaluator_(variables, where) {}
  void run(const Block& block, std::string& out) {
    for (const Statement& statement : block) {
      evaluator_.spend(0, statement.line);
      run(statement, out);
      if (leaving_ != Leaving::no) return;
    }
  }

 private:
  enum class Leaving { no, iteration, loop };

  void run(const Statement& statement, std::string& out);
  void branches(const Statement& statement, std::string& out);
  void loop(const Statement& statement, std::string& out);
  void set_targets(const Statement& statement, const Value& value);

  Evaluator evaluator_;
  Leaving leaving_ = Leaving::no;
};

void Renderer::run(const Statement& statement, std::string& out) {
  using Kind = Statement::Kind;
  const int line = statement.line;
  switch (statement.kind) {
    case Kind::text:
      evaluator_.spend(statement.name.size(), line);
      out += statement.name;
      return;
    case Kind::output: {
      const std::string text = evaluator_.text(evaluator_.evaluate(*statement.expression), line);
      evaluator_.spend(text.size(), line);
      out += text;
      return;
    }
    case Kind::branches:
      return branches(statement, out);
    case Kind::loop:
      return loop(statement, out);
    case Kind::set: {
      Value value = evaluator_.evaluate(*statement.expression);
      if (statement.attribute.empty()) return evaluator_.set(statement.name, std::move(value));
      return evaluator_.set_attribute(statement.name, statement.attribute, std::move(value), line);
    }
    case Kind::set_block: {
      std::string text;
      evaluator_.open_scope();
      run(statement.blocks[0], text);
      evaluator_.close_scope();
      if (!statement.attribute.empty())
        return evaluator_.set_attribute(statement.name, statement.attribute, std::move(text), line);
      return evaluator_.set(statement.name, std::move(text));
    }
    case Kind::quit:
      leaving_ = Leaving::loop;
      return;
    case Kind::next:
      leaving_ = Leaving::iteration;
      return;
    case Kind::group:
      evaluator_.open_scope();
      run(statement.blocks[0], out);
      evaluator_.close_scope();
      return;
  }
}

void Renderer::branches(const Statement& statement, std::string& out) {
  for (std::size_t i = 0; i < statement.conditions.size(); ++i) {
    if (truth(evaluator_.evaluate(*statement.conditions[i]))) return run(statement.blocks[i], out);
  }
  if (statement.blocks.size() > statement.conditions.size()) run(statement.blocks.back(), out);
}

void Renderer::set_targets(const Statement& statement, const Value& value) {
  const auto& targets = statement.targets;
  if (targets.size() == 1) return evaluator_.set(targets[0], value);
  const List parts = evaluator_.items(value, statement.line);
  if (parts.size() != targets.size()) evaluator_.fail("'for' has other names than values", statement.line);
  for (std::size_t i = 0; i < parts.size(); ++i) evaluator_.set(targets[i], parts[i]);
}

void Renderer::loop(const Statement& statement, std::string& out) {
  List list = evaluator_.items(evaluator_.evaluate(*statement.expression), statement.line);
  if (!statement.conditions.empty()) {
    List kept;
    for (const Value& each : list) {
      evaluator_.open_scope();
      set_targets(statement, each);
      if (truth(evaluator_.evaluate(*statement.conditions[0]))) kept.push_back(each);
      evaluator_.close_scope();
    }
    list = std::move(kept);
  }
  const auto count = static_cast<std::int64_t>(list.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    Dict loop{{"index", i + 1},        {"index0", i},
              {"revindex", count - i}, {"revindex0", count - i - 1},
              {"first", i == 0},       {"last", i + 1 == count},
              {"length", count}};
    if (i > 0) loop.emplace_back("previtem", list[at - 1]);
    if (i + 1 < count) loop.emplace_back("nextitem", list[at + 1]);
    evaluator_.open_scope();
    try {
      evaluator_.set("loop", std::move(loop));
    } catch (const std::length_error& problem) {
      evaluator_.fail(problem.what(), statement.line);
    }
    set_targets(statement, list[at]);
    run(statement.blocks[0], out);
    evaluator_.close_scope();
    const bool ends = leaving_ == Leaving::loop;
    leaving_ = Leaving::no;
    if (ends) break;
  }
  if (list.empty() && statement.blocks.size() > 1) run(statement.blocks[1], out);
}

}  // namespace

std::string render(const Block& program, const Dict& variables, const std::string& where) {
  Renderer renderer(variables, where);
  std::string out;
  renderer.run(program, out);
  return out;
}

}  // namespace plumbline::reference::jinja
