#include "harness/picture.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline {
namespace {

constexpr std::size_t kLargestSeries = 6, kLargestPoints = 4096, kLargestCells = 20000;
// Okabe and Ito's colours, which readers with any kind of colour vision tell apart, the yellow left out: it
// is faint on white.
constexpr const char* kColours[kLargestSeries] = {"#0072b2", "#d55e00", "#009e73",
                                                  "#cc79a7", "#56b4e9", "#e69f00"};
constexpr std::size_t kNumberedColumns = 12;  // of a heat map: more, and numbers no longer fit the cells

// A text in gnuplot's single quotes, with nothing in it that would end them. Markup is switched off.
std::string quoted(const std::string& text) {
  std::string safe = "'";
  for (const char c : text) {
    if (c == '\'')
      safe += "''";
    else if (static_cast<unsigned char>(c) >= 0x20)
      safe += c;
  }
  return safe + "'";
}

// White behind everything: readable on dark pages too. The same ids in every file.
std::string head(const Picture& picture, int width, int height) {
  return fmt::format(
      "set terminal svg size {},{} fixed enhanced font 'Helvetica,Arial,sans-serif,13' background '#ffffff' "
      "name 'picture'\nset encoding utf8\nset title {} noenhanced\nset xlabel {} noenhanced\n",
      width, height, quoted(picture.title), quoted(picture.x_label));
}

bool drawable(double x, double y) {
  return std::isfinite(x) && std::isfinite(y) && y > 0;
}

// The least and the largest of what is drawn.
struct Extent {
  double least_x = std::numeric_limits<double>::infinity(), most_x = -least_x, least_y = least_x, most_y = 0;
  void add(double x, double y) {
    least_x = std::min(least_x, x);
    most_x = std::max(most_x, x);
    least_y = std::min(least_y, y);
    most_y = std::max(most_y, y);
  }
};

// Lines of "x y"; `count` is how many.
std::string points_of(const Series& curve, Extent& extent, std::size_t& count) {
  std::string points;
  count = 0;
  for (std::size_t i = 0; i < curve.y.size(); ++i) {
    if (!drawable(curve.x[i], curve.y[i])) continue;
    points += fmt::format("{:.9g} {:.6g}\n", curve.x[i], curve.y[i]);
    extent.add(curve.x[i], curve.y[i]);
    ++count;
  }
  return points;
}

// Whole decades around the data, so that a curve that hardly moves is not blown up.
std::string ranges(const Extent& extent) {
  const double width = extent.most_x - extent.least_x, margin = width > 0 ? 0.02 * width : 0.5;
  std::string text =
      fmt::format("set xrange [{:.9g}:{:.9g}]\nset yrange [1e{}:1e{}]\n", extent.least_x - margin,
                  extent.most_x + margin, static_cast<int>(std::floor(std::log10(extent.least_y))),
                  static_cast<int>(std::floor(std::log10(extent.most_y))) + 1);
  if (width <= 40) text += fmt::format("set xtics {}\n", width <= 20 ? 1 : 2);
  return text;
}

std::string curves_program(const Picture& picture) {
  std::string text = head(picture, 760, 380);
  text += fmt::format(
      "set ylabel {} noenhanced\nset logscale y\nset format y '10^{{%L}}'\nset grid xtics ytics lc rgb "
      "'#d0d0d0' lw 0.6\nset key outside right top noenhanced\nset border 3\nset tics nomirror\n",
      quoted(picture.y_label));
  std::string plots, data;
  Extent extent;
  for (std::size_t i = 0; i < picture.curves.size(); ++i) {
    std::size_t count = 0;
    const std::string points = points_of(picture.curves[i], extent, count);
    if (count == 0) continue;
    plots += fmt::format("{}$curve{} using 1:2 with {} lw 1.8 lc rgb '{}' title {}",
                         plots.empty() ? "" : ", ", i, count <= 64 ? "linespoints pt 7 ps 0.5" : "lines",
                         kColours[i], quoted(picture.curves[i].name));
    data += fmt::format("$curve{} << EOD\n{}EOD\n", i, points);
  }
  if (plots.empty()) {  // all exact: axes, and a word on why nothing is in them
    return text +
           "unset key\nset xrange [0:1]\nset yrange [1e-9:1]\n"
           "set label 1 'no error above 0' at graph 0.5,0.5 center\nplot NaN\n";
  }
  return text + ranges(extent) + data + "plot " + plots + "\n";
}

std::string cell_text(double share) {
  if (share == 0) return "0";
  if (std::isinf(share)) return "wrong";
  return share > 9.99 ? ">10" : fmt::format("{:.2f}", share);
}

// Rows from top to bottom as they are listed, columns from left to right.
std::string heat_program(const Picture& picture) {
  const auto rows = static_cast<int>(picture.rows.size()), columns = static_cast<int>(picture.columns.size());
  const bool numbered = picture.columns.size() <= kNumberedColumns;
  const int cell = numbered ? 52 : 20;
  std::string text = head(picture, 390 + std::max(cell * columns, 240), 130 + 24 * rows);
  text += fmt::format(
      "set cblabel {} noenhanced\nset rmargin 14\nunset key\nset tics scale 0\nset border\nset "
      "xrange [-0.5:{}.5]\nset "
      "yrange "
      "[{}.5:-0.5]\nset cbrange [0:1.25]\n",
      quoted(picture.y_label), columns - 1, rows - 1);
  // Pale to dark within the gate, red beyond it: dark is near the gate, red is wrong.
  text +=
      "set palette defined (0 '#f7fbff', 0.25 '#c6dbef', 0.5 '#6baed6', 0.75 '#2171b5', 1 '#08306b', 1 "
      "'#d7191c', 1.25 '#d7191c')\nset palette maxcolors 0\n"
      "set cbtics ('0' 0, '0.25' 0.25, '0.5' 0.5, '0.75' 0.75, '1: gate' 1, 'wrong' 1.2)\n";
  std::string ticks;
  for (int i = 0; i < rows; ++i) {
    ticks += fmt::format("{}{} {}", i == 0 ? "" : ", ", quoted(picture.rows[static_cast<std::size_t>(i)]), i);
  }
  text += "set ytics (" + ticks + ") noenhanced\n";
  const int step = (columns + 15) / 16;
  ticks.clear();
  for (int i = 0; i < columns; i += step) {
    ticks +=
        fmt::format("{}{} {}", i == 0 ? "" : ", ", quoted(picture.columns[static_cast<std::size_t>(i)]), i);
  }
  text += "set xtics (" + ticks + ") noenhanced\n";
  std::string cells, dark, pale;
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      const double value = picture.values[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)];
      if (std::isnan(value)) continue;
      cells += fmt::format("{} {} {:.6g}\n", column, row, std::min(value, 1.25));
      (value > 0.6 ? pale : dark) += fmt::format("{} {} {}\n", column, row, cell_text(value));
    }
  }
  text += "$cells << EOD\n" + cells + "EOD\n";
  std::string plot = "plot $cells using 1:2:(0.5):(0.5):3 with boxxy fillstyle solid 1.0 noborder lc palette";
  const auto labels = [&](const std::string& name, const std::string& data, const char* colour) {
    if (!numbered || data.empty()) return;
    text += "$" + name + " << EOD\n" + data + "EOD\n";
    plot += fmt::format(", ${} using 1:2:3 with labels font ',11' tc rgb '{}'", name, colour);
  };
  labels("dark", dark, "#202020");
  labels("pale", pale, "#ffffff");
  return text + plot + "\n";
}

bool is_plain(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

void expect(bool ok, const char* what) {
  if (!ok) throw Error(what, "");
}

}  // namespace

std::string gnuplot_program(const Picture& picture) {
  return picture.kind == Picture::Kind::curves ? curves_program(picture) : heat_program(picture);
}

void check_picture(const Picture& picture) {
  expect(is_plain(picture.name), "a picture without a plain name");
  expect(picture.curves.size() <= kLargestSeries, "a picture of too many curves");
  for (const Series& curve : picture.curves) {
    expect(curve.x.size() == curve.y.size(), "a curve with as many x as y is asked for");
    expect(curve.x.size() <= kLargestPoints, "a curve of too many points");
  }
  expect(picture.rows.size() == picture.values.size(), "a heat map whose rows have no names");
  expect(picture.rows.size() * picture.columns.size() <= kLargestCells, "a heat map of too many cells");
  for (const std::vector<double>& row : picture.values) {
    expect(row.size() == picture.columns.size(), "a ragged heat map");
  }
  const bool heat = picture.kind == Picture::Kind::heat_map;
  expect(!heat || (!picture.rows.empty() && !picture.columns.empty()), "a heat map without cells");
}

}  // namespace plumbline
