"""A python that has the packages a test needs."""
import importlib.util
import os
import subprocess
import sys


def start_again_with(modules, roots):
    """Goes on under the python of one of the folders (virtual environments) where this one lacks a module, once.

    False where this python and all of them lack one."""
    if all(importlib.util.find_spec(name) for name in modules):
        return True
    check = f"import importlib.util as u, sys; sys.exit(not all(u.find_spec(n) for n in {tuple(modules)}))"
    for python in (root / "bin" / "python" for root in roots):
        if python.exists() and "OTHER_PYTHON" not in os.environ and subprocess.run([python, "-c", check]).returncode == 0:
            os.environ["OTHER_PYTHON"] = "1"
            os.execv(python, [str(python), *sys.argv])
    return False
