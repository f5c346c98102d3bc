"""tools/plumbline_trace.h: clean in C and C++, what it writes is what was given, and what it refuses; and the example engine,
judged clean, and blamed and explained for each of its bugs.

Usage: trace_header_test.py BUILD_DIR SOURCE_DIR C_COMPILER CXX_COMPILER
"""
import ctypes
import importlib.util
import itertools
import json
import os
import pathlib
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
COMPILERS = {"c": sys.argv[3], "c++": sys.argv[4]}
TINY = SOURCE / "fixtures" / "models" / "tiny"
PLUMBLINE, ENGINE = str(BUILD / "plumbline"), str(BUILD / "example-engine")
HEADER, DRIVER = SOURCE / "tools", SOURCE / "tests" / "tools" / "trace_driver.c"
WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror".split()
OK, BAD_CALL, BAD_NAME, _, BAD_FILE = range(5)
DTYPES = [("F64", 8), ("F32", 4), ("F16", 2), ("BF16", 2), ("I64", 8), ("I32", 4), ("BOOL", 1)]  # in the header's order
F32, BOOL = 1, 6
RESERVED = 256 * 1024
BUGS = {  # name: the op that is wrong, the suspect
    "rope-interleaved": ("self_attn.q_rope", "rotary pairs interleaved"),
    "eps-outside-root": ("input_layernorm", "eps outside the root"),
    "kv-heads-tiled": ("self_attn.scores", "kv heads tiled"),
    "scale-missing": ("self_attn.scores", "scale missing"),
}
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
LIBC = ctypes.CDLL(None)


def obey_permissions():
    if os.geteuid() == 0:
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def compile_driver(output, compiler, *flags):
    command = [compiler, *flags, "-I", str(HEADER), "-o", str(output), str(DRIVER)]
    return subprocess.run(command, capture_output=True, text=True).stderr


def full_shape(shape):
    return "x".join(map(str, shape))


def read_file(path):
    """As strict as the safetensors library: the data has no holes, and the header begins with a brace."""
    blob = path.read_bytes()
    (length,) = struct.unpack("<Q", blob[:8])
    assert blob[8:9] == b"{" and (8 + length) % 8 == 0
    header = json.loads(blob[8 : 8 + length].decode())
    metadata = header.pop("__metadata__")
    tensors, at = {}, 0
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert begin == at, "a hole"
        at = end
        tensors[name] = (entry["dtype"], entry["shape"], blob[8 + length + begin : 8 + length + end])
    assert 8 + length + at == len(blob), "bytes that no tensor has"
    return metadata, tensors


def write_file(path, tensors):
    header, at = {"__metadata__": {"format": "plumbline-trace"}}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def documented_probes():
    """Name -> rank, from the tables of docs/trace-format.md."""
    probes, in_layer = {}, False
    for line in (SOURCE / "docs" / "trace-format.md").read_text().splitlines():
        in_layer = line.startswith("In each layer") or (in_layer and not line.startswith("After the layers"))
        row = re.match(r"\| (`[^|]*) \| \[([^|]*)\] \|", line)
        for name in re.findall(r"`([^`]*)`", row.group(1)) if row else []:
            prefix = "model.layers.N." if in_layer and not name.startswith("past_key_values") else ""
            probes[prefix + name] = row.group(2).count(",") + 1
    return probes


class WithFolder(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="plumbline-"))
        self.out = self.folder / "out"
        self.out.mkdir()
        self.path = self.out / "t.safetensors"

    def tearDown(self):
        self.out.chmod(0o755)
        shutil.rmtree(self.folder)

    def compare(self, a, b):
        result = subprocess.run([PLUMBLINE, "compare", str(a), str(b)], capture_output=True, text=True, timeout=300)
        return result.returncode, result.stdout + result.stderr


class Header(unittest.TestCase):
    def test_no_compiler_warns(self):
        tried = 0
        with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
            for names, language, standards in (((COMPILERS["c"], "gcc", "clang", "clang-14"), "c", ("c99", "c11", "c17")),
                                               ((COMPILERS["c++"], "g++", "clang++", "clang++-14"), "c++", ("c++11", "c++17", "c++20"))):
                paths = {os.path.realpath(path): path for path in map(shutil.which, names) if path}
                for compiler, standard in itertools.product(paths.values(), standards):
                    said = compile_driver(pathlib.Path(folder, "driver"), compiler, "-O2", "-x", language, f"-std={standard}",
                                          *WARNINGS)
                    self.assertEqual(said, "", (compiler, standard))
                    tried += 1
        self.assertGreaterEqual(tried, 6)


    def test_the_lines_of_the_page(self):
        page = (SOURCE / "docs" / "judge-your-engine.md").read_text()
        include, lines = re.search(r"^```c\n(#include [^\n]*\n)(.*?)^```", page, re.M | re.S).groups()
        # What the engine has: a cache of 4 slots, of which 2 are taken.
        program = include + """int main(void) {
          const int64_t tokens = 2, hidden = 3, cached = 2, kv_heads = 2, head_dim = 1, capacity = 4;
          const float normed[] = {0, 1, 2, 3, 4, 5}, keys[] = {1, 2, 9, 9, 3, 4, 9, 9};
          const int step = 0;
        """ + lines + "return (int)trace.status; }"
        with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
            source = pathlib.Path(folder, "lines.c")
            source.write_text(program)
            for language, compiler in COMPILERS.items():
                command = [compiler, "-x", language, *WARNINGS, "-I", str(HEADER), "-o", "lines", source.name]
                subprocess.run(command, cwd=folder, check=True, timeout=300)
                subprocess.run(["./lines"], cwd=folder, check=True, timeout=300)
                tensors = read_file(pathlib.Path(folder, "mine.safetensors"))[1]
                self.assertEqual(struct.unpack("<6f", tensors["seq.0/step.0/model.layers.0.input_layernorm"][2]), (0, 1, 2, 3, 4, 5))
                self.assertEqual(struct.unpack("<4f", tensors["seq.0/step.0/past_key_values.0.key"][2]), (1, 3, 2, 4))


class Driven(WithFolder):
    @classmethod
    def setUpClass(cls):
        cls.folder_of_drivers = pathlib.Path(tempfile.mkdtemp(prefix="plumbline-"))
        cls.drivers = []
        for language, compiler in COMPILERS.items():
            driver = cls.folder_of_drivers / language
            flags = ["-x", language, "-g", "-O1"]
            sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
            if compile_driver(driver, compiler, *flags, *sanitizers) != "":  # not installed
                assert compile_driver(driver, compiler, *flags) == ""
            cls.drivers.append(str(driver))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder_of_drivers)

    def drive(self, commands, driver=0, before_exec=None):
        """The status and the problem after each command."""
        text = "".join(" ".join(map(str, command)) + "\n" for command in commands)
        # Python ignores SIGXFSZ, and so does what it starts if its signals are not restored.
        result = subprocess.run([self.drivers[driver]], input=text, capture_output=True, text=True, cwd=self.out, timeout=300,
                                preexec_fn=before_exec, restore_signals=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""), commands)
        answers = [line.split(" ", 1) for line in result.stdout.splitlines()]
        self.assertEqual(len(answers), len(commands))
        return [(int(status), problem) for status, problem in answers]

    def write(self, commands, driver=0):
        answers = self.drive(commands, driver)
        self.assertEqual([answer for answer in answers if answer != (OK, "")], [], commands)

    def raw(self, data, name="raw.bin"):
        path = self.folder / name
        path.write_bytes(data)
        return path


class RoundTrips(Driven):
    def random_tensor(self, rng, rank):
        """Elements of a random view (permuted, sliced, reversed, repeated) of random bytes: the command's words, and what a
        file should hold."""
        number = rng.randrange(len(DTYPES))
        dtype, size = DTYPES[number]
        shape = [rng.choice((0, 1, 1, 2, 3, 5, 8)) if rng.random() < 0.1 else rng.randint(1, 6) for _ in range(rank)]
        strides, step = [0] * rank, rng.choice((1, 1, 2))
        for axis in reversed(range(rank)) if rng.random() < 0.5 else rng.sample(range(rank), rank):
            strides[axis] = step
            step *= max(1, shape[axis]) + rng.choice((0, 0, 0, 2))
        strides = [rng.choice((1, 1, 1, -1, 0)) * stride for stride in strides]
        if rng.random() < 0.3:
            strides = None
        used = strides or [full for full in (self.product(shape[axis + 1 :]) for axis in range(rank))]
        reach = [(n - 1) * s if n > 0 else 0 for n, s in zip(shape, used)]
        low, high = sum(min(0, r) for r in reach), sum(max(0, r) for r in reach)
        source = rng.choices((0, 1), k=high - low + 1) if dtype == "BOOL" else rng.randbytes(size * (high - low + 1))
        source = bytes(source)
        picked = b"".join(source[(i - low) * size : (i - low + 1) * size]
                          for i in (sum(a * s for a, s in zip(index, used))
                                    for index in itertools.product(*map(range, shape))))
        words = [number, full_shape(shape), "-" if strides is None else full_shape(strides), -low * size]
        return words, source, (dtype, shape, picked)

    @staticmethod
    def product(sizes):
        result = 1
        for size in sizes:
            result *= size
        return result

    def random_trace(self, rng):
        names = {name.replace("N", str(layer)): rank for name, rank in documented_probes().items() for layer in (0, 1, 12)}
        commands, expected = [["open", self.path, "engine", 'a"b\\c', "storage_dtype", "bf16"]], {}
        prefixed = rng.random() < 0.7
        for step, sequence in itertools.product(range(rng.randint(1, 3)), (0, 7)) if prefixed else ((0, 0),):
            if prefixed:
                commands.append(["begin", sequence, step])
            initial = [(f"initial/past_key_values.0.{which}", 3) for which in ("key", "value")] if step == 0 else []
            for name, rank in [*rng.sample(sorted(names.items()), rng.randint(1, 8)), *initial]:
                words, source, tensor = self.random_tensor(rng, rank)
                commands.append(["tensor", name, *words, self.raw(source, f"raw{len(commands)}")])
                prefix = f"seq.{sequence}/" if name.startswith("initial/") else f"seq.{sequence}/step.{step}/"
                expected[(prefix if prefixed else "") + name] = tensor
        return [*commands, ["close"]], expected

    def test_what_was_given_is_what_the_file_holds(self):
        rng = random.Random(9)
        for round_number in range(60):
            commands, expected = self.random_trace(rng)
            self.write(commands, round_number % 2)
            metadata, tensors = read_file(self.path)
            self.assertEqual(metadata, {"format": "plumbline-trace", "format_version": "1", "engine": 'a"b\\c',
                                        "storage_dtype": "bf16"})
            self.assertEqual(tensors, expected)
            self.assertEqual(os.listdir(self.out), [self.path.name])
            if round_number % 6 > 0:  # plumbline takes its time to start
                continue
            other = self.folder / "other.safetensors"
            write_file(other, expected)
            status, said = self.compare(self.path, other)
            self.assertEqual(status, 0, said)
            full = [name for name, (_, _, data) in expected.items() if data]
            if full:
                name = rng.choice(full)
                dtype, shape, data = expected[name]
                write_file(other, expected | {name: (dtype, shape, bytes([data[0] ^ 1]) + data[1:])})
                status, said = self.compare(self.path, other)
                self.assertEqual((status, name in said), (1, True), said)

    def test_every_probe_of_the_format_and_no_other(self):
        probes = documented_probes()
        enum = re.search(r"enum class Probe [^{]*\{(.*?)\};", (SOURCE / "harness" / "probe.h").read_text(), re.S).group(1)
        self.assertEqual(len(probes), len(re.findall(r"^\s*\w+,", enum, re.M)), "docs/trace-format.md lists all probes")
        commands = [["open", self.path]]
        for layer, (name, rank) in itertools.product((0, 10), probes.items()):
            if layer == 0 or "N" in name:
                words = [F32, full_shape([1] * rank), "-", 0, self.raw(bytes(4))]
                commands.append(["tensor", name.replace("N", str(layer)), *words])
        self.write([*commands, ["close"]])
        self.assertEqual(self.compare(self.path, self.path)[0], 0)

    def test_a_header_longer_than_its_place(self):
        rng = random.Random(1)
        names = [f"model.layers.{layer}.self_attn.q_rope" for layer in range(60)]
        data = [rng.randbytes(4 * rng.randint(1, 500)) for _ in names]  # more than one move's worth in all
        commands, expected = [["open", self.path]], {}
        for step in range(45):
            commands.append(["begin", 0, step])
            for name, some in zip(names, data):
                shape = [1, 1, len(some) // 4]
                commands.append(["tensor", name, F32, full_shape(shape), "-", 0, self.raw(some, name)])
                expected[f"seq.0/step.{step}/{name}"] = ("F32", shape, some)
        self.write([*commands, ["close"]])
        self.assertGreater(struct.unpack("<Q", self.path.read_bytes()[:8])[0], RESERVED)
        self.assertEqual(read_file(self.path)[1], expected)
        self.assertEqual(self.compare(self.path, self.path)[0], 0)

    def test_a_name_that_begins_another_in_the_same_slot(self):
        def slot(name):  # of the header's hash table
            value = 14695981039346656037
            for byte in name.encode():
                value = (value ^ byte) * 1099511628211 % 2**64
            return (value ^ value >> 32) % 1024

        names = ["attention_mask.full", "attention_mask"]
        prefixes = (f"seq.{sequence}/step.0/" for sequence in range(100000))
        prefix = next(prefix for prefix in prefixes if slot(prefix + names[0]) == slot(prefix + names[1]))
        raw = self.raw(b"\1")
        self.write([["open", self.path], ["begin", prefix.split("/")[0][4:], 0],
                    *(["tensor", name, BOOL, "1x1", "-", 0, raw] for name in names), ["close"]])
        self.assertEqual(list(read_file(self.path)[1]), [prefix + name for name in names])

    @unittest.skipUnless(importlib.util.find_spec("safetensors") and importlib.util.find_spec("numpy"), "no safetensors here")
    def test_the_library_reads_it(self):
        from safetensors import safe_open
        shape, data = [2, 3], struct.pack("<6f", *range(6))
        self.write([["open", self.path, "engine", "mine"], ["tensor", "attention_mask", BOOL, "1x3", "-", 0, self.raw(b"\1\0\1", "m")],
                    ["tensor", "model.norm", F32, full_shape(shape), "1x2", 0, self.raw(data)], ["close"]])
        with safe_open(self.path, "np") as file:
            self.assertEqual(file.metadata()["engine"], "mine")
            self.assertEqual(file.get_tensor("model.norm").tolist(), [[0, 2, 4], [1, 3, 5]])
            self.assertEqual(file.get_tensor("attention_mask").tolist(), [[True, False, True]])


class Refusals(Driven):
    def refused(self, status, words, *commands, before_exec=None, old=True):
        """The last command but close() is refused, and stays so; no file, or the old one, and nothing else."""
        if old:
            self.path.write_bytes(b"old")
        *fine, last, close = self.drive([*commands, ["close"]], before_exec=before_exec)
        self.assertEqual([answer for answer in fine if answer != (OK, "")], [], commands)
        self.assertEqual(last[0], status, (commands, last))
        for word in words:
            self.assertIn(word, last[1])
        self.assertEqual(close, last, "the first problem is kept")
        self.assertEqual({path.name: path.read_bytes() for path in self.out.iterdir()}, {self.path.name: b"old"} if old else {})

    def norm(self, shape="2x3", name="model.norm", dtype=F32, strides="-", data=None):
        return ["tensor", name, dtype, shape, strides, 0, data or self.raw(bytes(24))]

    def test_names(self):
        begin = [["open", self.path], ["begin", 0, 0]]
        for name in ("model.nrm", "model.norm.", "model.layers.0", "model.layers.01.mlp.act", "model.layers.x.mlp.act",
                     "model.layers..mlp.act", "model.layers.1234567890.mlp.act", "past_key_values.0.keys", "initial/model.norm",
                     "seq.0/step.0/model.norm", "step.0/model.norm", "model.layers.N.mlp.act", "__metadata__", 'model.norm"',
                     "x" * 5000):
            self.refused(BAD_NAME, [name[:300], "no probe is called that"], *begin, self.norm(name=name))
        self.refused(BAD_NAME, ["seq.0/step.0/model.norm", "was written before"], *begin, self.norm(), self.norm())
        again = [["begin", 0, 1], self.norm(), ["begin", 0, 0], self.norm()]
        self.refused(BAD_NAME, ["seq.0/step.0/model.norm: was written before"], *begin, self.norm(), *again)
        many = [self.norm(name=f"model.layers.{layer}.mlp_residual") for layer in range(1200)]  # the table of names grows
        self.refused(BAD_NAME, ["model.layers.3.mlp_residual: was written before"], begin[0], *many, many[3])
        for layer in range(0, 1200, 97):
            self.refused(BAD_NAME, [f"layers.{layer}.mlp_residual: was written"], begin[0], *many, many[layer])
        key = self.norm("1x2x3", "initial/past_key_values.0.key")
        self.refused(BAD_NAME, ["seq.0/initial/past_key_values.0.key: was written"], *begin, key, ["begin", 0, 0], key)

    def test_shapes_and_data(self):
        begin = [["open", self.path]]
        self.refused(BAD_CALL, ["model.norm", "3 axes", "no batch axis"], *begin, self.norm("1x2x3"))
        self.refused(BAD_CALL, ["negative or too large"], *begin, self.norm("2x-3"))
        self.refused(BAD_CALL, ["negative or too large"], *begin, self.norm("4294967296x4294967296"))
        self.refused(BAD_CALL, ["negative or too large"], *begin, self.norm("0x9223372036854775807"))
        self.refused(BAD_CALL, ["no such dtype"], *begin, self.norm(dtype=7))
        self.refused(BAD_CALL, ["data is asked for"], *begin, self.norm(data="-"))

    def test_turns(self):
        begin = [["open", self.path]]
        self.refused(BAD_CALL, ["t.safetensors: has no tensor"], *begin, ["close"])
        self.refused(BAD_CALL, ["count from 0"], *begin, ["begin", 0, -1])
        self.refused(BAD_CALL, ["step 1 of sequence 3", "step 0 has no tensor"], *begin, ["begin", 3, 1])
        self.refused(BAD_CALL, ["step 2"], *begin, ["begin", 0, 0], self.norm(), ["begin", 0, 1], ["begin", 0, 2])
        two = self.norm(name="lm_head")
        self.refused(BAD_CALL, ["step 2"], *begin, ["begin", 0, 0], self.norm(), two, ["begin", 0, 2])
        self.refused(BAD_CALL, ["before the first tensor"], *begin, self.norm(), ["begin", 0, 0])
        self.refused(BAD_CALL, ["trace is closed"], *begin, ["discard"], self.norm())

    def test_what_comes_after_the_end(self):
        for late in (self.norm(), ["begin", 0, 1], ["close"]):
            *fine, said = self.drive([["open", self.path], self.norm(), ["close"], late])
            self.assertEqual(fine, [(OK, "")] * 3)
            self.assertEqual(said, (BAD_CALL, ("begin_step" if late[0] == "begin" else late[0]) + ": the trace is closed"))
            self.assertEqual(list(read_file(self.path)[1]), ["model.norm"], "what was closed stays")
        self.write([["open", self.path], self.norm(), ["close"]] * 2)

    def test_metadata(self):
        for words, *pairs in ((["storage_type: no such key"], "storage_type", "bf16"), (["f32, f64, bf16 or f16"], "storage_dtype", "float"),
                              (["cpu or cuda"], "device", "gpu"), (["engine: key without a value"], "engine"),
                              (["engine: key given twice"], "engine", "a", "engine", "b"), (["printable"], "engine", "caf\u00e9")):
            self.refused(BAD_CALL, words, ["open", self.path, *pairs])

    def test_paths(self):
        self.refused(BAD_CALL, ["a file's path"], ["open"], old=False)
        self.refused(BAD_CALL, ["a file's path"], ["open", "folder/"], old=False)
        self.refused(BAD_FILE, [str(self.out), "Is a directory"], ["open", self.out], old=False)
        self.refused(BAD_FILE, ["nowhere/t: cannot be written: No such file"], ["open", "nowhere/t"], old=False)
        self.refused(BAD_FILE, ["Not a directory"], ["open", self.path / "t"])

    def test_a_folder_that_may_not_be_written(self):
        self.out.chmod(0o555)
        if self.drive([["open", "t"], ["discard"]], before_exec=obey_permissions)[0][0] == OK:
            self.skipTest("root's rights cannot be dropped")
        self.refused(BAD_FILE, ["Permission denied"], ["open", self.path], before_exec=obey_permissions, old=False)

    def test_full_disks(self):
        def limited(size):
            return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        big = self.norm("1x50000", data=self.raw(bytes(200000), "big"))
        self.refused(BAD_FILE, ["t.safetensors: cannot be written: File too large"], ["open", self.path], before_exec=limited(1000))
        self.refused(BAD_FILE, ["File too large"], ["open", self.path], big, before_exec=limited(RESERVED + 100000))
        # What is still in a buffer of libc's is refused at the end.
        self.refused(BAD_FILE, ["File too large"], ["open", self.path], self.norm(), ["close"], before_exec=limited(RESERVED + 8))
        many = [word for step in range(40) for word in (["begin", 0, step], *(
            self.norm(name=f"model.layers.{layer}.post_attention_layernorm") for layer in range(60)))]
        self.refused(BAD_FILE, ["File too large"], ["open", self.path], *many, ["close"],
                     before_exec=limited(RESERVED + 40 * 60 * 24 + 1000))


class Engine(WithFolder):
    def run_engine(self, *arguments, status=0, **how):
        result = subprocess.run([ENGINE, "--model", str(TINY), "--tokens", "10,11,12,13,14,15,16", "--tokens", "17,20", "--steps", "3",
                                 "-o", str(self.path), *arguments], capture_output=True, text=True, timeout=300, **how)
        self.assertEqual(result.returncode, status, result.stderr)
        return result.stderr

    def judge(self, status):
        result = subprocess.run([PLUMBLINE, "judge", str(self.path), "--model", str(TINY), "--report-dir", str(self.folder)],
                                capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result.stdout

    def test_judged_clean(self):
        self.assertEqual(self.run_engine(), "")
        calls, probes = 2 * 3, 9 + 5 * 19
        tensors = read_file(self.path)[1]
        self.assertEqual(len(tensors), calls * probes)
        said = self.judge(0)
        self.assertIn(f"{calls * (probes - 1)} passed, {calls} skipped", said)
        # A lone trace cannot show that its token ids are those that were asked for; nothing else is left out.
        skipped = re.findall(r"^\| (\S+) .*\bskipped\b.*\|$", (self.folder / "judge.md").read_text(), re.M)
        self.assertEqual([name for name in skipped if name.endswith("input_ids")],
                         [name for name in skipped if name != "judge"], said)

        # The same tokens as the native engine's, so it is the same model.
        native = self.folder / "native.safetensors"
        subprocess.run([PLUMBLINE, "trace", "--model", str(TINY), "--tokens", "10,11,12,13,14,15,16", "--steps", "3", "-o",
                        str(native)], check=True, capture_output=True, timeout=300)
        theirs = read_file(native)[1]
        for step in range(3):
            name = f"seq.0/step.{step}/input_ids"
            self.assertEqual(tensors[name], theirs[name])

    def test_each_bug_is_blamed_and_explained(self):
        for bug, (op, suspect) in BUGS.items():
            self.run_engine("--bug", bug)
            headline = self.judge(1).splitlines()[0]
            self.assertIn(f"first wrong op: seq.0/step.0/model.layers.0.{op}, ", headline)
            self.assertIn(f"matches *{suspect}*", headline)

    def test_bad_usage_and_a_full_disk(self):
        for words in (["--bug", "none"], ["--tokens", "1,x"], ["--tokens", "1024"], ["--steps", "0"], ["--model", "nowhere"]):
            self.assertRegex(self.run_engine(*words, status=2), r"^example-engine: [^\n]+\n$")
        self.run_engine()
        whole = self.path.stat().st_size
        self.path.unlink()
        for size in (1000, whole // 2, whole - 1):
            limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            said = self.run_engine(status=2, preexec_fn=limit)
            self.assertRegex(said, r"^example-engine: [^\n]+: cannot be written: File too large\n$")
        self.assertEqual(os.listdir(self.out), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
