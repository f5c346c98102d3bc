#include "harness/report_json_evidence.h"

#include <cmath>
#include <limits>

#include "harness/error.h"
#include "harness/report_text.h"

namespace plumbline {
namespace {

Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}

std::vector<double> numbers_from(const Json& json) {
  std::vector<double> values;
  for (const Json& value : json) values.push_back(number_from(value));
  return values;
}

Json picture_json(const Picture& picture) {
  Json curves = Json::array(), values = Json::array();
  for (const Series& curve : picture.curves) {
    curves.push_back({{"name", curve.name}, {"x", numbers(curve.x)}, {"y", numbers(curve.y)}});
  }
  for (const std::vector<double>& row : picture.values) values.push_back(numbers(row));
  return {{"kind", picture.kind == Picture::Kind::curves ? "curves" : "heat map"},
          {"name", picture.name},
          {"title", picture.title},
          {"x_label", picture.x_label},
          {"y_label", picture.y_label},
          {"curves", curves},
          {"rows", picture.rows},
          {"columns", picture.columns},
          {"values", values}};
}

Picture picture_from(const Json& json) {
  Picture picture;
  const std::string kind = json.at("kind").get<std::string>();
  if (kind != "curves" && kind != "heat map") throw Error("'" + kind + "' is no kind of picture", "");
  picture.kind = kind == "curves" ? Picture::Kind::curves : Picture::Kind::heat_map;
  picture.name = json.at("name").get<std::string>();
  picture.title = json.at("title").get<std::string>();
  picture.x_label = json.at("x_label").get<std::string>();
  picture.y_label = json.at("y_label").get<std::string>();
  for (const Json& curve : json.at("curves")) {
    picture.curves.push_back(
        {curve.at("name").get<std::string>(), numbers_from(curve.at("x")), numbers_from(curve.at("y"))});
  }
  picture.rows = json.at("rows").get<std::vector<std::string>>();
  picture.columns = json.at("columns").get<std::vector<std::string>>();
  for (const Json& row : json.at("values")) picture.values.push_back(numbers_from(row));
  check_picture(picture);  // its name becomes a file's
  return picture;
}

}  // namespace

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(figure(value));
}

double number_from(const Json& json) {
  if (json.is_number()) return json.get<double>();
  const std::string text = json.get<std::string>();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  throw Error("'" + text + "' is no number", "");
}

Json evidence_json(const Evidence& shown) {
  Json json{{"title", shown.title}, {"header", shown.header}, {"rows", shown.rows}};
  if (shown.picture) json["picture"] = picture_json(*shown.picture);
  return json;
}

Evidence evidence_from(const Json& json) {
  Evidence shown{json.at("title").get<std::string>(), json.at("header").get<std::vector<std::string>>(),
                 json.at("rows").get<std::vector<std::vector<std::string>>>()};
  if (json.contains("picture")) shown.picture = picture_from(json.at("picture"));
  return shown;
}

}  // namespace plumbline
