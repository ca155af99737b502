"""What `import mai_depth` offers."""

import ast
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY

import mai_depth
from mai_depth.__main__ import COMMANDS


def test_names_are_loaded_when_asked_for():
    assert mai_depth.build_student("student_28m").name == "student_28m"
    with pytest.raises(AttributeError, match="nonsense"):
        mai_depth.nonsense  # noqa: B018


def test_every_public_name_is_listed_and_loads():
    assert mai_depth.__all__ == sorted(mai_depth.__all__) == list(mai_depth._HOMES)
    assert set(mai_depth.__all__) <= set(dir(mai_depth))
    for name in mai_depth.__all__:
        value = getattr(mai_depth, name)
        assert value.__module__ == f"mai_depth.{mai_depth._HOMES[name]}" and value.__doc__


def test_type_checkers_see_the_same_names():
    tree = ast.parse(pathlib.Path(mai_depth.__file__).read_text())
    seen = {alias.name: node.module.removeprefix("mai_depth.")
            for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
            for alias in node.names if node.module.startswith("mai_depth")}
    assert seen == mai_depth._HOMES


def test_shipped_student_answers_in_metres():
    model = mai_depth.load_pretrained("indoor_student_90m")
    depth = model.predict(np.full((1, 480, 640, 3), 128, np.float32), verbose=0)
    assert depth.shape == (1, 480, 640, 1)
    assert 0.2 < depth.min() < depth.max() < 10


def test_the_package_by_itself_names_every_command():
    done = subprocess.run([sys.executable, "-m", "mai_depth"], cwd=REPOSITORY, text=True,
                          capture_output=True, check=True)
    assert [line[:34].rstrip() for line in done.stdout.splitlines()[:-1]] == list(COMMANDS)
    modules = {".".join(path.relative_to(REPOSITORY).parent.parts)
               for path in (REPOSITORY / "mai_depth").rglob("*/__main__.py")}
    named = {words.split()[-1] for words in COMMANDS}
    assert named == modules | {"train.py", "export.py", "benchmark"}
