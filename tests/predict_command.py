"""Runs `python -m mai_depth.predict` as a user does, in a process of its own."""

import os
import subprocess
import sys

import benchmark_graphs


def run(*flags, start=("-m", "mai_depth.predict"), cwd=benchmark_graphs.REPOSITORY, first=""):
    """Runs the command; modules in the folder `first` come before all others."""
    environment = {**os.environ, "PYTHONPATH": f"{first}:{benchmark_graphs.REPOSITORY}"}
    return subprocess.run([sys.executable, *start, *map(str, flags)], cwd=cwd, timeout=500,
                          capture_output=True, text=True, env=environment)
