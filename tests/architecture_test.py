"""The architecture: packages import one way and never in a circle, boards need no TensorFlow."""

import ast
import functools
import subprocess
import sys

import pytest
from conftest import REPOSITORY

HEAVY = {"tensorflow", "keras", "tf_keras", "keras_cv", "keras_hub"}

# The storeys: a package imports from itself and from those above it in this table.
STOREYS = {
    "mai_depth": "the ground floor: errors, writing, flags, the depth contract; no TensorFlow",
    "mai_depth.tflite": "reading, checking, running and editing .tflite files; no TensorFlow",
    "mai_depth.data": "folders, caches, scenes and batches",
    "mai_depth.network": "student and teachers, model files",
    "mai_depth.training": "losses, the step, runs",
    "mai_depth.quantize": "a student in 8-bit integers, calibrated or fine-tuned",
    "mai_depth.export": "from a student to a verified file",
    "mai_depth.predict": "depth of pictures, videos and cameras",
    "mai_depth.calibrate": "metres that are right for one camera",
    "mai_depth.live": "a camera's depth on a page",
    "mai_depth.label": "pictures without depth, labelled by teachers",
    "benchmark": "speed, accuracy and score",
    "benchmark.peers": "published networks and PyTorch, to compare with",
    "benchmark.study": "the paper's table, repeated",
}
# What a board runs, and what opens data: nothing they reach may import TensorFlow or Keras.
LIGHT = ("mai_depth", "mai_depth.tflite", "mai_depth.data.sources",
         "mai_depth.data.convert.__main__", "mai_depth.data.pack.__main__",
         "mai_depth.data.reading", "mai_depth.training.job", "mai_depth.predict.__main__",
         "mai_depth.calibrate.__main__", "mai_depth.live.__main__", "mai_depth.live.server",
         "benchmark.__main__", "benchmark.worker")
ENTRY_FILES = {"command", "number_flags", "__main__"}


@functools.cache
def modules():
    """Every module by its dotted name: its syntax tree."""
    paths = [path for folder in ("mai_depth", "benchmark")
             for path in (REPOSITORY / folder).rglob("*.py")]
    return {name_of(path): ast.parse(path.read_text()) for path in sorted(paths)}


def name_of(path):
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def storey_of(name):
    """The longest package of the table that holds a module."""
    holders = [package for package in STOREYS if f"{name}.".startswith(f"{package}.")]
    return max(holders, key=len)


def imported(tree, only_at_start=False):
    """Names that a module imports: everywhere, or only while it is being loaded."""
    nodes = _at_start(tree) if only_at_start else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _at_start(tree):
    """The nodes of a module that run while it is loaded, without functions and type checks."""
    stack = list(tree.body)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        stack.extend(ast.iter_child_nodes(node))


def own(tree, only_at_start=False):
    return {name for name in imported(tree, only_at_start) if name in modules()}


def defined(name):
    """What can be imported from a module: its top-level names, and the files in its folder."""
    inside = [other.removeprefix(f"{name}.") for other in modules() if other.startswith(f"{name}.")]
    bound = set(inside)
    for node in _at_start(modules()[name]):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    return bound


def without_packages(names):
    """Modules only: a package's `__init__` is loaded with each of them and imports nothing."""
    return {name for name in names if name not in STOREYS}


@pytest.mark.parametrize("name", modules())
def test_imports_point_one_way(name):
    allowed = list(STOREYS)[: list(STOREYS).index(storey_of(name)) + 1]
    above = [other for other in own(modules()[name]) if storey_of(other) not in allowed]
    assert name == "mai_depth" or not above


@pytest.mark.parametrize("name", [name for name in modules() if name != "mai_depth"])
def test_what_functions_import_exists(name):
    """An import inside a function fails only when that is called, perhaps after a training."""
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.ImportFrom) and node.module in modules():
            missing = {alias.name for alias in node.names} - defined(node.module)
            assert node.module == "mai_depth" or not missing


def test_no_module_imports_itself_in_a_circle():
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name):], name])
        if name not in done:
            path.append(name)
            for other in sorted(without_packages(own(modules()[name])) - {name}):
                visit(other)
            done.add(path.pop())

    for name in without_packages(modules()):
        visit(name)


def reachable(start):
    """All modules that are loaded with a module, itself included."""
    found, stack = set(), [start]
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(own(modules()[name], only_at_start=True))
    return found


def light_modules():
    return [name for name in modules()
            if name in LIGHT or storey_of(name) in ("mai_depth", "mai_depth.tflite")]


@pytest.mark.parametrize("name", light_modules())
def test_what_a_board_runs_reaches_no_tensorflow(name):
    for other in reachable(name):
        heavy = {module.split(".")[0] for module in imported(modules()[other], True)} & HEAVY
        assert not heavy, f"{name} reaches {other}, which imports {heavy}"


@pytest.mark.parametrize("name", [name for name in modules() if name.startswith("mai_depth")])
def test_flags_stay_in_entry_files(name):
    if name.rpartition(".")[2] not in ENTRY_FILES:
        assert not any(module.startswith("absl") for module in imported(modules()[name]))


def test_tfmot_is_imported_in_one_module():
    tfmot = "tensorflow_model_optimization"
    found = [name for name, tree in modules().items()
             if any(module.startswith(tfmot) for module in imported(tree))]
    assert found == ["mai_depth.quantize.aware"]


def test_losses_and_metrics_know_no_model():
    for name in ("mai_depth.training.losses", "mai_depth.metrics",
                 "mai_depth.training.keras_metrics"):
        assert not any(other.startswith("mai_depth.network") for other in own(modules()[name]))


def test_importing_the_package_is_cheap():
    code = "import sys, mai_depth; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
