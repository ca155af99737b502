"""What a training run says of itself beside its student: its data, and whether it has ended."""

import pathlib

from mai_depth.data.folder import has_split
from mai_depth.data.sources import parse_share
from mai_depth.json_file import read_json

_FLAGS = "flags.txt"
_OF_DATA = ("depth_units_per_m", "missing_depth_value", "allow_resize")


def data_of_run(student: pathlib.Path) -> dict[str, str]:
    """Reads which pictures a student was trained on.

    Args:
        student: The `.keras` file of a run, beside the run's `flags.txt`.

    Returns:
        The run's first `data_dir` and how its depth files are read, by the names of the flags that
        training and export share; empty where nothing is known or the folder is gone.
    """
    try:
        lines = student.with_name(_FLAGS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    known: dict[str, str] = {}
    for line in lines:
        name, _, value = line.removeprefix("--").partition("=")
        known.setdefault(name, value or "true")
    folder = parse_share(known.get("data_dir", ""))[0]
    if not folder or not has_split(folder, "train"):
        return {}
    return {"data_dir": folder, **{name: known[name] for name in _OF_DATA if name in known}}


def unfinished(student: pathlib.Path) -> str | None:
    """Tells of a student whose training was stopped or goes on.

    Args:
        student: The `.keras` file of a run.

    Returns:
        How far it is, in words; None where it has ended or nothing is known.
    """
    try:
        record = read_json(student.with_suffix(".json"))
        if record.get("finished", True):
            return None
        return f"epoch {record['epoch']} of {record['recipe']['epochs']}"
    except (OSError, ValueError, KeyError, TypeError):
        return None
