"""The output folder while it is being filled: hidden from training until it is complete.

Pairs are written below `OUTPUT/.converting`, where the next run finds those of a killed one. When
all are there, their folders are moved out and `dataset.json` is written.
"""

import os
import pathlib
import shutil
from typing import Any

from mai_depth.atomic import remove_abandoned
from mai_depth.atomic import write_json_atomic
from mai_depth.data.convert.split import SPLITS
from mai_depth.errors import UserError
from mai_depth.json_file import read_json
from mai_depth.workdir import LOCK

RECORD = "dataset.json"
SHEET = "sheet.png"

_STAGING = ".converting"
_KINDS = ("rgb", "depth")


class Staging:
    """An output folder that is locked by this process.

    Args:
        output: The folder.
        conversion: What the pairs depend on besides the files themselves.
    """

    def __init__(self, output: pathlib.Path, conversion: dict[str, Any]):
        self.output = output
        self._folder = output / _STAGING
        self._conversion = conversion

    def finished(self) -> dict[str, Any] | None:
        """Returns the record of this conversion if it was completed before, else None.

        Raises:
            UserError: The folder holds something else.
        """
        record = _read(self.output / RECORD)
        if record and record.get("conversion") == self._conversion and not self._folder.exists():
            return record
        begun = _read(self._folder / "conversion.json")
        if begun == self._conversion:
            return None
        if record or begun or self._holds_other_files():
            what = "another conversion" if record or begun else "other files"
            raise UserError(f"--output={self.output}: holds {what}; remove it or give another "
                            "folder")
        return None

    def begin(self) -> None:
        """Makes the folders, or takes over what a killed run left there."""
        self._folder.mkdir(exist_ok=True)
        write_json_atomic(self._folder / "conversion.json", self._conversion)
        for split in SPLITS:
            if (self.output / split).is_dir():  # killed while it was being completed
                os.rename(self.output / split, self._folder / split)
            for kind in _KINDS:
                folder = self._folder / split / kind
                folder.mkdir(parents=True, exist_ok=True)
                remove_abandoned(folder)

    def path(self, split: str, kind: str, name: str) -> pathlib.Path:
        """Returns the path of a picture or a depth map."""
        return self._folder / split / kind / name

    def complete(self, kept: set[pathlib.Path], record: dict[str, Any]) -> None:
        """Moves the folders to where training sees them.

        Args:
            kept: The files that belong to the result; others were left by an earlier input.
            record: Content of `dataset.json`, besides what the conversion depends on.
        """
        for split in SPLITS:
            for kind in _KINDS:
                for path in (self._folder / split / kind).iterdir():
                    if path not in kept:
                        path.unlink()
            if any((self._folder / split / "rgb").iterdir()):
                os.rename(self._folder / split, self.output / split)
        write_json_atomic(self.output / RECORD, {**record, "conversion": self._conversion})
        shutil.rmtree(self._folder)

    def _holds_other_files(self) -> bool:
        return any(path.name not in (LOCK, _STAGING) for path in self.output.iterdir())


def _read(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None
