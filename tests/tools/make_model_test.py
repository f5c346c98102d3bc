"""The model maker: the same bytes from the same seed, everywhere; a checkpoint that both sides take.

Usage: make_model_test.py BUILD_DIR
"""
import hashlib
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv[1]).resolve()

# Of slim in bf16 with seed 0. Integer arithmetic alone makes it: another hash is another model, or a broken machine.
SLIM = "fc8440372183b083d79e0a081f955b67073b13aafa1540e12b7bb860e50e27fc"


class MakeModel(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="plumbline-"))

    def tearDown(self):
        shutil.rmtree(self.folder)

    def make(self, name, *arguments, status=0):
        result = subprocess.run([str(BUILD / "plumbline-make-model"), "-o", str(self.folder / name), *arguments],
                                capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, status, result.stderr)
        return result.stderr

    def weights(self, name):
        return (self.folder / name / "model.safetensors").read_bytes()

    def test_slim_is_the_same_everywhere(self):
        self.make("slim")
        self.assertEqual(hashlib.sha256(self.weights("slim")).hexdigest(), SLIM)

    def test_f32_holds_the_values_of_bf16_and_another_seed_others(self):
        self.make("bf16")
        self.make("f32", "--dtype", "f32")
        self.make("other", "--seed", "1")
        data = lambda blob: blob[8 + struct.unpack("<Q", blob[:8])[0]:]
        narrow, wide = data(self.weights("bf16")), data(self.weights("f32"))
        self.assertEqual(wide[2::4], narrow[0::2])
        self.assertEqual(wide[3::4], narrow[1::2])
        self.assertEqual(set(wide[0::4]), {0})
        self.assertNotEqual(narrow, data(self.weights("other")))

    def test_both_sides_take_it(self):
        self.make("slim")
        model, trace = str(self.folder / "slim"), str(self.folder / "t.safetensors")
        for engine in ("cpu", "reference"):
            for command in (["trace", "--tokens", "9707,785,16,17,18", "--engine", engine, "-o", trace], ["judge", trace]):
                result = subprocess.run([str(BUILD / "plumbline"), *command, "--model", model], capture_output=True,
                                        text=True, timeout=300)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_bad_usage(self):
        self.assertIn("13b", self.make("x", "--shape", "13b", status=2))
        self.assertIn("f16", self.make("x", "--dtype", "f16", status=2))
        (self.folder / "file").write_text("")
        self.assertIn("file", self.make("file", status=2))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
