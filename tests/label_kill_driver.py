"""Kills a labelling at every write, and compares its result with that of an unbroken one.

    python tests/label_kill_driver.py PHOTOS FOLDER

Each attempt is a fork of this process, without TensorFlow: the teacher is arithmetic. It dies by
SIGKILL before the n-th call of a function that changes the disk, for n = 0, 1, ... Prints one line
of JSON.
"""

import json
import pathlib
import sys
import types

import fork_that_dies
import numpy as np

from mai_depth.label.labelled_folder import LabelledFolder
from mai_depth.label.labelling import label
from mai_depth.label.labelling import unlabelled_pictures
from mai_depth.label.teachers import Teacher
from mai_depth.predict.picture_list import list_pictures

STEPS = ("replace", "link", "fsync")


def answers(asked):
    """Turns colours into depth; records each call in a file."""
    def predict_on_batch(batch):
        with open(asked, "a") as file:
            file.write("x")
        return 1 + batch[..., :1] / 255

    return Teacher("t.keras", "0" * 64, False, None,
                   types.SimpleNamespace(predict_on_batch=predict_on_batch))


def attempt(photos, folder, name, dies_before):
    return fork_that_dies.attempt(lambda: run(photos, folder), name, dies_before)


def run(photos, folder):
    folder.mkdir(parents=True, exist_ok=True)
    teacher = answers(folder.with_suffix(".asked"))
    labelled = LabelledFolder(folder, "photos", [teacher.describe()])
    label(unlabelled_pictures(list_pictures(photos, folder), labelled), labelled, [teacher], print)
    labelled.finish(0)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}


def main(photos, place):
    photos, place = pathlib.Path(photos), pathlib.Path(place)
    assert attempt(photos, place / "unbroken", "replace", -1)
    expected = content(place / "unbroken")
    kills, different, most = 0, [], 0
    for name in STEPS:
        dies_before, finished = 0, False
        while not finished:
            folder = place / f"{name}_{dies_before}"
            finished = attempt(photos, folder, name, dies_before)
            kills += not finished
            attempt(photos, folder, name, -1)
            if content(folder) != expected:
                different.append(folder.name)
            most = max(most, folder.with_suffix(".asked").stat().st_size)
            dies_before += 1
    print(json.dumps({"kills": kills, "different": different, "asked_at_most": most,
                      "pairs": len(expected) // 2}))


if __name__ == "__main__":
    np.seterr(all="raise")
    main(*sys.argv[1:])
