#!/usr/bin/env python3
"""The checks themselves: each planted violation must be found, and clean files must not be."""
import tempfile
import unittest
from pathlib import Path

import layering
import paths

CLEAN = {
    "harness/tensor.h": "#include <vector>\n",
    "harness/judge.h": '#include "harness/tensor.h"\n#include <yaml-cpp/yaml.h>\n',
    "reference/internal/ops.h": "#include <ATen/ATen.h>\n",
    "reference/model.h": '#include "harness/judge.h"\n',
    "reference/model.cpp": '#include "reference/model.h"\n#include "reference/internal/ops.h"\n',
    "impl/engine.h": '#include "harness/tensor.h"\n',
    "impl/cuda/residual.cu": '#include <cuda_runtime.h>\n#include "impl/engine.h"\n',
    "phases/support/cases.h": "",
    "phases/phase1_config.cpp": '#include <catch2/catch.hpp>\n#include "impl/engine.h"\n#include "reference/model.h"\n',
    "cli/run.cpp": '#include <CLI/CLI.hpp>\n#include "phases/support/cases.h"\n',
    "tests/impl/engine_test.cpp": '#include "impl/engine.h"\n',
    "tests/reference/ops_test.cpp": '#include "reference/internal/ops.h"\n',
    "bench/peers/torch.cpp": "#include <torch/torch.h>\n",
    "harness/CMakeLists.txt": "target_link_libraries(plumbline_harness PRIVATE fmt::fmt)\n",
    "reference/CMakeLists.txt":
        "target_link_libraries(plumbline_reference\n  PUBLIC plumbline::harness\n  PRIVATE ${TORCH_LIBRARIES})\n",
    "impl/CMakeLists.txt": "target_link_libraries(plumbline_impl PUBLIC plumbline::harness)\n",
}

# Name of the mistake: file, its text.
PLANTED = {
    "harness knows an engine": ("harness/x.cpp", '#include "impl/engine.h"\n'),
    "harness knows the reference": ("harness/x.cpp", '#include "reference/model.h"\n'),
    "harness uses Catch2": ("harness/x.cpp", "#include <catch2/catch.hpp>\n"),
    "harness uses LibTorch": ("harness/x.cpp", "#include <torch/torch.h>\n"),
    "impl knows the reference": ("impl/x.cpp", '#include "reference/model.h"\n'),
    "impl knows the judge": ("impl/cpu/x.cpp", '#include "harness/judge.h"\n'),
    "impl uses LibTorch": ("impl/x.cpp", "#  include <ATen/ATen.h>\n"),
    "impl uses the reference's regex library": ("impl/x.cpp", "#include <pcre2.h>\n"),
    "CUDA outside of impl/cuda": ("impl/cpu/x.cpp", "#include <cuda_runtime.h>\n"),
    "reference knows impl": ("reference/x.cpp", '#include "impl/engine.h"\n'),
    "a public header with LibTorch": ("reference/x.h", "#include <ATen/ATen.h>\n"),
    "a public header with private ones": ("reference/x.h", '#include "reference/internal/ops.h"\n'),
    "private headers from outside": ("phases/x.cpp", '#include "reference/internal/ops.h"\n'),
    "a phase uses LibTorch": ("phases/x.cpp", "#include <torch/torch.h>\n"),
    "the command uses tests": ("cli/x.cpp", '#include "tests/impl/engine_test.cpp"\n'),
    "the command uses a phase": ("cli/x.cpp", '#include "phases/phase1_config.cpp"\n'),
    "a relative include": ("impl/x.cpp", '#include "../reference/model.h"\n'),
    "a sibling include": ("impl/x.cpp", '#include "engine.h"\n'),
    "impl links LibTorch": ("impl/cuda/CMakeLists.txt", "target_link_libraries(x PRIVATE ${TORCH_LIBRARIES})\n"),
    "phases link LibTorch": ("phases/CMakeLists.txt", "target_link_libraries(x PRIVATE torch)\n"),
    "LibTorch is handed on": ("reference/CMakeLists.txt", "target_link_libraries(x PUBLIC ${TORCH_LIBRARIES})\n"),
    "LibTorch without a scope": ("reference/CMakeLists.txt", "target_link_libraries(x ${TORCH_LIBRARIES})\n"),
    "impl links the reference": ("impl/CMakeLists.txt", "target_link_libraries(x PRIVATE plumbline::reference)\n"),
    "harness links impl": ("harness/CMakeLists.txt", "target_link_libraries(x PRIVATE plumbline_impl)\n"),
}


class Layering(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        for name, text in CLEAN.items():
            self.write(name, text)

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def test_clean_tree_passes(self):
        self.assertEqual(layering.violations(self.root), [])

    def test_each_planted_violation_is_found(self):
        for mistake, (name, text) in PLANTED.items():
            with self.subTest(mistake):
                self.write(name, text)
                found = layering.violations(self.root)
                self.assertEqual(len(found), 1, found)
                self.assertTrue(found[0].startswith(name + ": "), found)
                (self.root / name).unlink()
                if name in CLEAN:
                    self.write(name, CLEAN[name])


class Paths(unittest.TestCase):
    def found(self, line):
        return list(paths.violations_in("file", line))

    def test_machine_paths_are_found(self):
        for path in ("/home" + "/ann/x", "'/root" + "/.cache'", "cd /work" + "/main", "in /tmp" + "/w/x"):
            self.assertTrue(self.found(path), path)

    def test_other_paths_are_not(self):
        for path in ("build/work/x", "https://host.org/home/x", "$HOME/x", "${x}/tmp/y", "/usr/bin", "/tmp", "a/root/b"):
            self.assertFalse(self.found(path), path)


if __name__ == "__main__":
    unittest.main()
