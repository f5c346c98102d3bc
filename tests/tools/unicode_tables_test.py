"""impl/unicode_tables.cpp is what its script generates, byte for byte; the pinned tokenizers agrees on every code point.

Usage: unicode_tables_test.py SOURCE_DIR

Exit status 77 (skipped) where no python has the packages: `unicodedataplus` for the first, `tokenizers` for the second.
"""
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import other_python  # noqa: E402

SOURCE = pathlib.Path(sys.argv[1]).resolve()
SCRIPT = SOURCE / "tools" / "generate_unicode_tables.py"
TABLES = SOURCE / "impl" / "unicode_tables.cpp"
PINNED = "0.23.3"


def tokenizers_version():
    if importlib.util.find_spec("tokenizers") is None:
        return None
    import tokenizers
    return tokenizers.__version__


def run(*arguments, script=SCRIPT):
    return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=600)


class UnicodeTables(unittest.TestCase):
    def test_the_file_is_what_the_script_writes(self):
        made = run()
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertTrue(made.stdout == TABLES.read_text(encoding="utf-8"), "impl/unicode_tables.cpp is out of date")

    @unittest.skipUnless(tokenizers_version() == PINNED, f"no tokenizers {PINNED}")
    def test_tokenizers_agrees_on_every_code_point(self):
        checked = run("--check")
        self.assertEqual((checked.returncode, checked.stdout.count("\n")), (0, 1), checked.stdout[-2000:] + checked.stderr)

    @unittest.skipUnless(tokenizers_version() == PINNED, f"no tokenizers {PINNED}")
    def test_a_difference_is_named(self):
        with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
            copy = pathlib.Path(folder)
            (copy / "tools").mkdir()
            (copy / "impl").mkdir()
            for file in SOURCE.glob("tools/*unicode*.py"):
                text = file.read_text(encoding="utf-8")
                text = text.replace('NFC_VERSION = "9.0.0"', 'NFC_VERSION = "10.0.0"')
                text = text.replace('c in (0x200C, 0x200D)', 'c == 0x200C')
                (copy / "tools" / file.name).write_text(text, encoding="utf-8")
            (copy / "impl" / TABLES.name).write_text(TABLES.read_text(encoding="utf-8"), encoding="utf-8")
            checked = run("--check", script=copy / "tools" / SCRIPT.name)
        self.assertEqual(checked.returncode, 1, checked.stderr)
        found = checked.stdout.splitlines()
        self.assertEqual(len(found), 2 + 12 + 1, found)  # before and behind, Unicode 10's marks, the file
        self.assertIn("single_word, behind: U+200D: tokenizers says True", found)
        self.assertIn(f"{TABLES.name} is not what this script generates", found)


if __name__ == "__main__":
    if not other_python.start_again_with(("unicodedataplus", "tokenizers"), (SOURCE / ".venv",)) and \
            importlib.util.find_spec("unicodedataplus") is None:
        print("skipped: needs unicodedataplus 16.0.0.post1, and tokenizers for the rest")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
