"""Runs a graph inside the emulator (see `benchmark.arm64`): MODEL INPUT.npy OUTPUT.npy RUNS.

Needs only what the emulated Python has. Between the invokes a getpgid(1000000 + k) call marks the
place for the plugin that counts instructions.
"""

import contextlib
import os
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

if __name__ == "__main__":
    model, source, target, runs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.load(source))
    for k in range(runs + 1):
        if k:
            interpreter.invoke()
        with contextlib.suppress(OSError):
            os.getpgid(1000000 + k)
    np.save(target, interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
