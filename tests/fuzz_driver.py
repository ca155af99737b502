"""Damages a file in 200 ways and reads each with the project's own reader, in a forked child.

    python tests/fuzz_driver.py READER GOOD_FILE FOLDER

Case after case is read in one fork; if that dies, another one continues with the next case. Prints
one line of JSON per case: `end` is `read`, `refused` (a `UserError`), `traceback` or the name of
the signal that killed the fork (`SIGPROF`: it did not finish in time); `message` is the message,
`left` the files left in the folder. A case that killed its fork stays there.
"""

import functools
import io
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import traceback
import zipfile
from collections.abc import Callable
from collections.abc import Iterator

import numpy as np

from mai_depth.errors import UserError

CASES = 200
LIMIT_CPU_S = 10


def damaged(good: bytes, dice: random.Random) -> bytes:
    """Flips one to four bits and truncates every third file."""
    data = bytearray(good)
    for _ in range(dice.randint(1, 4)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data[: dice.randrange(len(data))] if dice.randrange(3) == 0 else data)


def damaged_inside(good: bytes, dice: random.Random) -> bytes:
    """Every second time damages one file of a zip archive and packs it with a matching CRC."""
    if dice.randrange(2):
        return damaged(good, dice)
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(packed, "w") as new:
        victim = dice.choice(old.namelist())
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, damaged(content, dice) if name == victim else content)
    return packed.getvalue()


def read_pair(path: pathlib.Path, partner: pathlib.Path) -> None:
    """Decodes the only pair of a folder into a cache, as training does; partner: a good file."""
    from mai_depth.data.cache import read_cache
    from mai_depth.data.cache import write_cache
    from mai_depth.data.folder import list_pairs
    from mai_depth.data.samples import samples

    data, is_depth = path.parent / "data", partner.parent.name == "rgb"
    for kind, source in (("depth" if is_depth else "rgb", path), (partner.parent.name, partner)):
        (data / kind).mkdir(parents=True)
        shutil.copy(source, data / kind / f"a{source.suffix}")
    try:
        pairs = samples(list_pairs(data), allow_resize=False, on_bad_sample="fail")
        write_cache(path.parent / "cache" / "a", pairs, 1, 1000.0)
        assert read_cache(path.parent / "cache" / "a") is not None
        shutil.rmtree(path.parent / "cache" / "a")
    finally:
        shutil.rmtree(data)
        if (path.parent / "cache").is_dir():
            (path.parent / "cache").rmdir()  # which fails if anything is left in it


def read_camera_picture(path: pathlib.Path) -> None:
    """Reads a picture as a prediction does."""
    from mai_depth.predict.camera_picture import read_picture

    picture = read_picture(path)
    assert picture.rgb.mode == "RGB"


def read_keras(path: pathlib.Path) -> None:
    """Loads a model as training, export and prediction do."""
    from mai_depth.network.model_file import load_model

    load_model(path)


def read_tflite(path: pathlib.Path) -> None:
    """Describes a graph as the benchmark does and runs it as a prediction does."""
    from mai_depth.predict.depth_network import open_network
    from mai_depth.tflite.graph import TfliteFile

    file = TfliteFile(path)
    assert file.macs() >= 0 and file.parameters() >= 0 and file.weight_bytes() >= 0
    assert file.number_format() and file.ops()
    network = open_network(path)
    network(np.zeros((*network.input_size, 3), np.uint8))


READERS = {"pair": read_pair, "picture": read_camera_picture, "keras": read_keras,
           "tflite": read_tflite}


def attempt(read: Callable, path: pathlib.Path) -> dict[str, str]:
    """Reads one case and returns how it ended."""
    try:
        read(path)
    except UserError as error:
        return {"end": "refused", "message": str(error)}
    except BaseException:
        return {"end": "traceback", "message": traceback.format_exc()}
    return {"end": "read", "message": ""}


def read_in_fork(read: Callable, folder: pathlib.Path, cases: list[tuple[str, bytes]]
                 ) -> Iterator[dict]:
    """Yields how the first cases ended, up to one that killed the fork."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        with os.fdopen(writing, "w") as answers:
            for name, data in cases:
                # Its signal is not handled. CPU time, since the machine may be busy.
                signal.setitimer(signal.ITIMER_PROF, LIMIT_CPU_S)
                (folder / name).write_bytes(data)
                end = attempt(read, folder / name)
                (folder / name).unlink()
                left = [name for name in os.listdir(folder) if not name.startswith("case")]
                print(json.dumps({**end, "left": left}), file=answers, flush=True)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        yield from map(json.loads, answers)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        yield {"end": signal.Signals(-code).name if code < 0 else f"code {code}", "message": "",
               "left": []}


def main(reader: str, good: str, folder: str, *arguments: str) -> None:
    """Runs all cases and prints how each ended."""
    good, folder = pathlib.Path(good), pathlib.Path(folder)
    read = functools.partial(READERS[reader], **({"partner": pathlib.Path(arguments[0])}
                                                 if arguments else {}))
    dice, harm = random.Random(0), damaged_inside if reader == "keras" else damaged
    cases = [(f"case{number}{good.suffix}", harm(good.read_bytes(), dice))
             for number in range(CASES)]
    if reader == "keras":
        import mai_depth.network.model_file  # noqa: F401  (before the fork: it takes seconds)
    done = 0
    while done < CASES:
        for end in read_in_fork(read, folder, cases[done:]):
            print(json.dumps({"name": cases[done][0], **end}), flush=True)
            done += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
