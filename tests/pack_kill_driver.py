"""Kills a packing at every write, and compares its result with that of an unbroken one.

    python tests/pack_kill_driver.py DATA_DIR FOLDER

Each attempt is a fork of this process, which has packed nothing itself. It dies by SIGKILL before
the n-th call of a function that changes the disk, for n = 0, 1, ... Prints one line of JSON.
"""

import json
import pathlib
import sys

import fork_that_dies

from mai_depth.data.pack import packing
from mai_depth.data.pack import shard_writing

STEPS = ("replace", "fsync")


def attempt(data, folder, name, dies_before):
    return fork_that_dies.attempt(
        lambda: packing.pack(data, folder, packing.Options(), workers=1), name, dies_before)


def note_decoded(path):
    """Records in a file that a pair was decoded."""
    original = shard_writing.decode_pair

    def decode_pair(*arguments):
        with open(path, "a") as file:
            file.write("x")
        return original(*arguments)

    shard_writing.decode_pair = decode_pair


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def main(data, place):
    data, place = pathlib.Path(data), pathlib.Path(place)
    packing.SHARD_BYTES = 2 * max(path.stat().st_size for path in data.rglob("*.png"))
    place.mkdir()
    note_decoded(place / "decoded")
    assert attempt(data, place / "unbroken", "replace", -1)
    expected, pairs = content(place / "unbroken"), (place / "decoded").stat().st_size
    kills, different, most = 0, [], 0
    for name in STEPS:
        dies_before, finished = 0, False
        while not finished:
            folder = place / f"{name}_{dies_before}"
            (place / "decoded").unlink()
            finished = attempt(data, folder, name, dies_before)
            kills += not finished
            attempt(data, folder, name, -1)
            if content(folder) != expected:
                different.append(folder.name)
            most = max(most, (place / "decoded").stat().st_size)
            dies_before += 1
    shards = sum(name.endswith(".arrayrecord") for name in expected)
    print(json.dumps({"kills": kills, "different": different, "shards": shards, "pairs": pairs,
                      "decoded_at_most": most}))


if __name__ == "__main__":
    main(*sys.argv[1:])
