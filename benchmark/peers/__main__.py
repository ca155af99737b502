"""Builds the peers that the benchmark compares with: `python -m benchmark.peers --output=DIR`.

Each becomes NAME.tflite (480x640 in and out, float32, batch 1) and NAME.json (source, MACs). The
weights are random: the files tell how fast a published network is, never how good.
"""

import os
import pathlib
import time

from absl import flags
from absl import logging

from mai_depth import command
from mai_depth.environment import check_environment
from mai_depth.environment import start_tensorflow
from mai_depth.errors import UserError
from mai_depth.paths import expand

_OUTPUT = flags.DEFINE_string("output", None, "Folder for the .tflite files; made if missing.")
_PEERS = flags.DEFINE_list("peers", [], "Names of the peers to build; all if empty.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace files that exist.")
flags.mark_flag_as_required("output")


def main() -> None:
    """Builds the peers that the flags name."""
    check_environment()
    folder = expand(_OUTPUT.value, "output")
    _make_folder(folder)
    start_tensorflow()
    logging.set_verbosity(logging.WARNING)
    from benchmark.peers import files as peer_files

    names = _PEERS.value or list(peer_files.PEERS)
    unknown = [name for name in names if name not in peer_files.PEERS]
    if unknown:
        raise UserError(
            f"--peers={unknown[0]}: unknown; one or more of {', '.join(peer_files.PEERS)}")
    there = [name for name in names if (folder / f"{name}.tflite").exists()]
    if there and not _OVERWRITE.value:
        raise UserError(f"{folder / there[0]}.tflite exists; give --overwrite, another --output, "
                        "or --peers without it")
    print(peer_files.WEIGHTS)
    for number, name in enumerate(names, start=1):
        start = time.monotonic()
        facts = peer_files.write_peer(name, folder)
        published = facts["published_macs"]
        print(
            f"{number}/{len(names)} {folder / name}.tflite: {facts['macs'] / 1e6:.1f}M MACs"
            + (f" (published {published / 1e6:.1f}M)" if published else "")
            + f", {facts['size_bytes'] / 1e6:.1f} MB, {time.monotonic() - start:.0f} s",
            flush=True,
        )


def _make_folder(folder: pathlib.Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--output={folder}: no folder can be made there ({error.strerror}); give another"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"--output={folder}: not writable; give another folder")


if __name__ == "__main__":
    command.run(main)
