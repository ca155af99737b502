"""Writes the page of the public names from their docstrings: `python docs/api.py`.

Needs pdoc (`pip install -e '.[docs]'`). A warning of pdoc, for instance of a name that cannot be
documented, is an error.
"""

import pathlib
import warnings
from collections.abc import Callable

from absl import flags

import mai_depth
from mai_depth import command
from mai_depth.environment import check_environment
from mai_depth.environment import start_tensorflow
from mai_depth.errors import UserError
from mai_depth.paths import expand

_OUTPUT = flags.DEFINE_string("output", "build/api", "Folder for mai_depth.html; made if missing.")


def main() -> None:
    """Writes `mai_depth.html`, its search index and an `index.html` that leads to it."""
    try:
        from pdoc import pdoc
        from pdoc import render
    except ImportError as error:
        raise UserError(f"pdoc is missing ({error}); pip install -e '.[docs]'") from error
    output = expand(_OUTPUT.value, "output")
    check_environment()
    start_tensorflow()
    for name in mai_depth.__all__:  # pdoc sees what lies in the module, not what it would load
        setattr(mai_depth, name, getattr(mai_depth, name))
    render.configure(docformat="google", show_source=False, include_undocumented=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning, module=r"pdoc\b")
        _write(pdoc, output)
    print(f"{output}/mai_depth.html: {len(mai_depth.__all__)} public names")


def _write(pdoc: Callable, output: pathlib.Path) -> None:
    try:
        pdoc("mai_depth", "!mai_depth[.]", output_directory=output)
    except OSError as error:
        raise UserError(f"--output={output}: cannot be written ({error.strerror}); give another "
                        "folder") from error


if __name__ == "__main__":
    command.run(main)
