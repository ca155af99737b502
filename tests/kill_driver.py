"""Kills a training again and again and compares its result with that of an unbroken one.

    python tests/kill_driver.py DATA_DIR FOLDER KILLS SEED

Each attempt is a fork of this process, which has loaded TensorFlow but computed nothing, so it
starts at once. A fork dies by SIGKILL at a named point, where a function is replaced in the fork,
or at a random moment. Prints one line of JSON per attempt.
"""

import itertools
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time

import keras
from small_run import small_run

from mai_depth import atomic
from mai_depth.environment import compute_deterministically
from mai_depth.network import model_file
from mai_depth.training import checkpoint
from mai_depth.training.fit import fit_depth_model

EPOCHS = 6


def die(*_):
    """Ends this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def before_temporary(count):
    replace(atomic.tempfile, "mkstemp", dies_before(count))


def mid_write_state(count):
    def blocks(original):
        def part(state):
            for number, block in enumerate(original(state)):
                yield block[: len(block) // 2]
                if state.epoch >= count and number > 2:
                    die()
                yield block[len(block) // 2 :]
        return part

    replace(checkpoint, "_blocks", blocks)


def mid_write_model(count):
    def copy(original):
        calls = itertools.count()

        def part(config, source, target):
            original(config, source, target)
            if next(calls) == count % 2:
                os.truncate(target, target.stat().st_size // 2)
                die()
        return part

    replace(model_file, "_copy_with", copy)


def before_rename(count):
    replace(os, "replace", dies_before(count))


def after_rename(count):
    def die_after(original):
        calls = itertools.count()

        def rename(*arguments):
            original(*arguments)
            if next(calls) == count:
                die()
        return rename

    replace(os, "replace", die_after)


def before_removal(count):
    replace(pathlib.Path, "unlink", dies_before(count))


def at_random(count):
    threading.Timer(random.uniform(0, 1.2) * UNBROKEN_SECONDS, die).start()


POINTS = [before_temporary, mid_write_state, mid_write_model, before_rename, after_rename,
          before_removal, at_random, at_random]
UNBROKEN_SECONDS = 1.0


def replace(owner, name, wrap):
    setattr(owner, name, wrap(getattr(owner, name)))


def dies_before(count):
    def wrap(original):
        calls = itertools.count()

        def call(*arguments, **settings):
            if next(calls) == count:
                die()
            return original(*arguments, **settings)
        return call
    return wrap


def attempt(data, folder, prepare):
    """Runs the training in a fork; returns whether it finished."""
    pid = os.fork()
    if pid == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        compute_deterministically()
        prepare()
        fit_depth_model(small_run(data, folder, epochs=EPOCHS))
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL) and status:
        sys.exit(f"an attempt failed with status {status}")
    return status == 0


def differences(folder, reference):
    """Names what differs between two finished folders, bit for bit."""
    found = [name for name in ("log.csv", "student.json")
             if (folder / name).read_bytes() != (reference / name).read_bytes()]
    weights = [keras.saving.load_model(place / "student.keras", compile=False).get_weights()
               for place in (folder, reference)]
    if any(one.tobytes() != other.tobytes() for one, other in zip(*weights, strict=True)):
        found.append("student.keras")
    left = sorted(set(os.listdir(folder)) - {".lock", "log.csv", "student.json", "student.keras"})
    return found + left


def main(data, folder, kills, seed):
    global UNBROKEN_SECONDS
    data, folder = pathlib.Path(data), pathlib.Path(folder)
    random.seed(int(seed))
    start = time.monotonic()
    assert attempt(data, folder / "unbroken", lambda: None)
    UNBROKEN_SECONDS = time.monotonic() - start
    done, runs = 0, 0
    while done < int(kills):
        broken = folder / f"broken_{runs}"
        finished = False
        while not finished:
            # Enough kills: the last run is left to finish.
            point = POINTS[done % len(POINTS)] if done < int(kills) else None
            count = random.randrange(8)
            finished = attempt(data, broken, lambda p=point, n=count: p and p(n))
            done += not finished
            print(json.dumps({"run": runs, "kill": done, "count": count, "finished": finished,
                              "point": point.__name__ if point else None}), flush=True)
        runs += 1
    # Only now: a process that has computed must not be forked.
    for run in range(runs):
        found = differences(folder / f"broken_{run}", folder / "unbroken")
        print(json.dumps({"run": run, "differences": found}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
