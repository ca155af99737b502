"""LiteRT.js, which runs a `.tflite` in a browser: npm's files, adapted to the page.

Workers have no import map, so the one import by package name is rewritten to a path. The npm
package lacks the text of its licence, which is added.
"""

import importlib.resources
import json
import os
import pathlib

from mai_depth.errors import UserError

VERSION = "2.5.3"  # the tested one
INSTALL = f"npm install @litertjs/core@{VERSION}"

_BY_NAME, _BY_PATH = '"@litertjs/wasm-utils"', '"./wasm_utils.js"'
# With relaxed SIMD, and for browsers without it. Threads need headers that few hosts send.
_VARIANTS = ("litert_wasm_internal", "litert_wasm_compat_internal")


class LiteRtJs:
    """An npm installation of LiteRT.js.

    Attributes:
        version: The version of `@litertjs/core`.

    Args:
        folder: Where `npm install` was run: it holds `node_modules`.

    Raises:
        UserError: LiteRT.js is missing there, or has another layout.
    """

    def __init__(self, folder: str | os.PathLike):
        self._flag = f"--litert_js={os.fspath(folder)}"
        self._modules = pathlib.Path(folder) / "node_modules" / "@litertjs"
        if not self._modules.is_dir():
            raise UserError(f"{self._flag}: no node_modules/@litertjs in it; run {INSTALL} there")
        try:
            package = json.loads((self._modules / "core" / "package.json").read_text())
            self.version = str(package["version"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise self._unusable(str(error)) from error
        self._core = self._text("core/dist/index.js")
        if self._core.count(_BY_NAME) != 1:
            raise self._unusable(f"version {self.version} is built differently")
        self._wasm = {f"{name}.{suffix}": self._file(f"core/wasm/{name}.{suffix}")
                      for name in _VARIANTS for suffix in ("js", "wasm")}

    def files(self) -> dict[str, bytes | pathlib.Path]:
        """Returns what the page loads from `litert/`: name -> content or path."""
        return {
            "litert.js": _without_map(self._core.replace(_BY_NAME, _BY_PATH)),
            "wasm_utils.js": _without_map(self._text("wasm-utils/dist/index.js")),
            "LICENSE.txt": apache_license(),
            **self._wasm,
        }

    def _file(self, name: str) -> pathlib.Path:
        path = self._modules / name
        if not path.is_file():
            raise self._unusable(f"{name} is missing")
        return path

    def _text(self, name: str) -> str:
        try:
            return self._file(name).read_text()
        except (OSError, ValueError) as error:
            raise self._unusable(str(error)) from error

    def _unusable(self, reason: str) -> UserError:
        return UserError(f"{self._flag}: no usable LiteRT.js ({reason}); run {INSTALL} there")


def apache_license() -> bytes:
    """Returns the Apache License 2.0, that of LiteRT.js and of this page."""
    return (importlib.resources.files("mai_depth.live") / "page" / "APACHE-2.0.txt").read_bytes()


def _without_map(script: str) -> bytes:
    """Drops the line that names a script's source map, which is not served."""
    lines = [line for line in script.splitlines() if not line.startswith("//# sourceMappingURL=")]
    return ("\n".join(lines) + "\n").encode()
