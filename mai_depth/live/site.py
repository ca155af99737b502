"""The page's files, for our server and as a static site for any web host."""

import importlib.resources
import json
import os
import pathlib
import shutil
from typing import Any

from mai_depth.atomic import FULL
from mai_depth.atomic import atomic_folder
from mai_depth.errors import UserError
from mai_depth.live.browser_model import MODEL_FILE
from mai_depth.live.litert_js import LiteRtJs
from mai_depth.live.litert_js import apache_license
from mai_depth.network.pretrained import FOLDER
from mai_depth.network.pretrained import is_pretrained

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript",
         ".json": "application/json", ".wasm": "application/wasm", ".txt": "text/plain",
         ".tflite": "application/octet-stream"}

_WEIGHTS_LICENSE = "LICENSE-WEIGHTS.txt"


def page_files() -> dict[str, bytes]:
    """Returns the files of the page itself: name -> content."""
    folder = importlib.resources.files("mai_depth.live") / "page"
    return {found.name: found.read_bytes() for found in folder.iterdir()
            if found.name.endswith((".html", ".css", ".js"))}


def files_to_run_here(
    model: pathlib.Path, litert: LiteRtJs
) -> dict[str, bytes | pathlib.Path]:
    """Returns what the page needs besides its own files to run a network in the browser.

    Args:
        model: The `.tflite` file.
        litert: LiteRT.js.

    Returns:
        Path below the page -> content or file.
    """
    return {MODEL_FILE: model,
            **{f"litert/{name}": content for name, content in litert.files().items()}}


def page_json(here: dict[str, Any] | None, server: bool) -> bytes:
    """Makes `page.json`, which tells the page where its frames can come from.

    Args:
        here: From `browser_model.describe`; None if the browser is not to run the network.
        server: Whether a server sends frames of its own camera.
    """
    return (json.dumps({"server": server, "here": here}) + "\n").encode()


def export_site(
    folder: pathlib.Path, model: pathlib.Path, litert: LiteRtJs, here: dict[str, Any]
) -> int:
    """Writes the page as a static site, atomically.

    Args:
        folder: Where to; an earlier site there is replaced.
        model: The `.tflite` file.
        litert: LiteRT.js.
        here: From `browser_model.describe`.

    Returns:
        Its size in bytes.

    Raises:
        UserError: The folder holds something else, or cannot be written.
    """
    files: dict[str, bytes | pathlib.Path] = {
        **page_files(), "page.json": page_json(here, server=False),
        "LICENSE.txt": apache_license(), **files_to_run_here(model, litert)}
    if is_pretrained(model):
        files[_WEIGHTS_LICENSE] = FOLDER / _WEIGHTS_LICENSE
    try:
        _refuse_other(folder, files)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as draft:
            return sum(_write(draft / name, content) for name, content in files.items())
    except OSError as error:
        if error.errno in FULL:
            raise
        raise UserError(f"--export={folder}: cannot be written ({error.strerror}); give another "
                        "folder") from error


def _write(path: pathlib.Path, content: bytes | pathlib.Path) -> int:
    """Writes or copies a file; returns its size."""
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, bytes):
        return path.write_bytes(content)
    shutil.copyfile(content, path)
    return path.stat().st_size


def _refuse_other(folder: pathlib.Path, files: dict[str, bytes | pathlib.Path]) -> None:
    """Refuses to replace what no export wrote, such as a home folder or a repository."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir() or folder.is_symlink():
        raise UserError(f"--export={folder}: exists and is not a folder; give another one")
    known = {pathlib.PurePath(name).parts[0] for name in (*files, _WEIGHTS_LICENSE)}
    others = sorted(found.name for found in folder.iterdir() if found.name not in known)
    if others:
        raise UserError(f"--export={folder}: holds {others[0]}, which is not part of an exported "
                        "page; give an empty folder or a new one")
