"""What both tests of tools/capture_llamacpp.py share."""
import contextlib
import io
import os
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TINY, ZOO = SOURCE / "fixtures/models/tiny", SOURCE / "fixtures/models/zoo"
REFUSED = {"aligned": "heads", "everything": "heads", "head-dim": "heads", "window-4x": "window", "window-5x": "window"}
NEEDED = ("numpy", "safetensors", "gguf", "llama_cpp")

sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
sys.path.insert(0, str(SOURCE / "tools"))
import capture_llamacpp  # noqa: E402


class ToolCase(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="plumbline-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.file = self.folder / "trace.safetensors"

    def tool(self, *options):
        """Status and standard error of the tool, run in this process."""
        told = io.StringIO()
        with mock.patch.object(sys, "argv", ["capture_llamacpp.py", *map(str, options)]), contextlib.redirect_stderr(told):
            try:
                capture_llamacpp.main()
            except SystemExit as stopped:
                return stopped.code, told.getvalue()
        return 0, told.getvalue()

    def assert_refused(self, cases):
        before = sorted(path.name for path in self.folder.iterdir())
        for says, *options in cases:
            with self.subTest(says):
                status, told = self.tool("-o", self.file, *options)
                self.assertEqual((status, told.count("\n"), told.startswith("error: ")), (2, 1, True), told)
                self.assertIn(says, told)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), before)
