// Pictures of a report: curves and heat maps, described here by their figures alone, so that a suite's part
// can carry them, and drawn as SVG by gnuplot when the pages are written.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace plumbline {

struct Series {
  std::string name;
  std::vector<double> x, y;  // as many of each; points that are not finite are left out
};

struct Picture {
  enum class Kind { curves, heat_map };
  Kind kind = Kind::curves;
  std::string name;  // of the file, "error_by_layer": a-z, 0-9 and '_'
  std::string title;
  std::string x_label, y_label;  // with units; of a heat map also what its colours mean
  // Curves, at most 6. The y axis is logarithmic: values that are not above 0 are left out.
  std::vector<Series> curves;
  // A heat map: values[row][column]; NaN leaves a cell empty. Values are shares of a gate: 1 is the limit,
  // and whatever is beyond it has a colour of its own.
  std::vector<std::string> rows, columns;
  std::vector<std::vector<double>> values;
};

// The pictures of a run that were drawn: their SVG by file name, relative to the reports.
struct Drawings {
  std::map<std::string, std::string> files;
  std::string problem;  // why some or all are missing: "gnuplot is not installed"; empty when none is
};

// The program for gnuplot that draws it on standard output. The same picture gives the same bytes.
std::string gnuplot_program(const Picture& picture);

// Runs gnuplot over the picture's program and gives the SVG. Nothing is written to the disk. Returns an empty
// text, and says why in `problem`, where gnuplot is not there or refuses.
std::string draw(const Picture& picture, std::string& problem);

// A picture that came from a file. Throws Error for what cannot be drawn: a name that is no plain name,
// series of unequal lengths, a ragged table, too many points.
void check_picture(const Picture& picture);

}  // namespace plumbline
