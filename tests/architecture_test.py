"""The house: imports point one way, boards need no TensorFlow, flags stay in entry files."""

import ast
import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = sorted(path.relative_to(REPOSITORY) for path in REPOSITORY.glob("mai_depth/**/*.py"))
BENCHMARK = sorted(path.relative_to(REPOSITORY) for path in REPOSITORY.glob("benchmark/*.py"))
TENSORFLOW = {"tensorflow", "keras", "tf_keras", "keras_cv", "keras_hub"}

# The storeys, from the ground up: a module imports only from below its own.
STOREYS = [
    {"errors", "atomic", "depth", "colormap", "command", "number_flags", "environment", "stopping",
     "workdir", "png_file", "streams", "paths", "json_file"},
    {"backbone", "decoder", "resize", "losses", "metrics", "keras_metrics", "macs", "tflite_file",
     "tensor_format", "tflite_schema", "block_file", "pairs", "cache", "folder", "nyu", "dataset",
     "data", "augment", "scenes", "synthetic", "camera_picture", "picture_list", "point_cloud",
     "integer_form", "integer_ranges", "integer_core", "tflite_edit", "torch_file",
     "efficientnet_lite", "upsampling", "batch_norm", "training_mode", "model_archive",
     "model_limits", "model_trust", "tflite_check"},
    {"student", "teacher", "vit", "distiller", "model_file", "depth_network", "rewrite"},
    {"evaluation", "teacher_depth", "sheet", "fitting", "fine_tuning", "calibration", "checkpoint",
     "callbacks", "run", "scale", "trainer", "prediction", "video", "conversion", "verify",
     "sidecar"},
    {"training", "litert", "saved_model", "predict", "pretrained", "quantization"},
]
LIGHT = ["errors", "atomic", "depth", "colormap", "metrics", "block_file", "pairs", "tflite_file",
         "tensor_format", "environment", "stopping", "workdir", "checkpoint", "camera_picture",
         "picture_list", "point_cloud", "depth_network", "prediction", "video", "pretrained",
         "predict", "model_archive", "tflite_check", "png_file", "streams", "paths", "json_file",
         "model_limits"]
ENTRY_FILES = {"command.py", "number_flags.py", "predict.py"}


def imports(path, only_at_top=False):
    """Names of the modules that a file imports, as written."""
    tree = ast.parse((REPOSITORY / path).read_text())
    nodes = tree.body if only_at_top else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_modules(path):
    names = {name.split(".")[1] for name in imports(path) if name.startswith("mai_depth.")}
    return names & {known.parts[1].removesuffix(".py") for known in PACKAGE}


@pytest.mark.parametrize("path", PACKAGE, ids=str)
def test_imports_point_down(path):
    name = path.parts[1].removesuffix(".py")
    if name == "__init__":
        return
    storey = next((number for number, names in enumerate(STOREYS) if name in names), None)
    assert storey is not None, f"{path}: add it to a storey"
    allowed = set().union(*STOREYS[: storey + 1])
    assert own_modules(path) <= allowed


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules_import_no_tensorflow(name):
    modules = imports(f"mai_depth/{name}.py", only_at_top=True)
    assert not {module.split(".")[0] for module in modules} & TENSORFLOW


@pytest.mark.parametrize("path", [path for path in BENCHMARK if "peer" not in path.name], ids=str)
def test_benchmark_imports_no_tensorflow(path):
    assert not {module.split(".")[0] for module in imports(path, True)} & TENSORFLOW


@pytest.mark.parametrize("path", PACKAGE, ids=str)
def test_flags_stay_in_entry_files(path):
    if path.name not in ENTRY_FILES:
        assert not any(name.startswith("absl") and "flags" in name for name in imports(path))


def test_tfmot_is_imported_in_one_file():
    paths = (*PACKAGE, *BENCHMARK, pathlib.Path("train.py"), pathlib.Path("export.py"))
    found = [str(path) for path in paths
             if any(name.startswith("tensorflow_model_optimization") for name in imports(path))]
    assert found == ["mai_depth/quantization.py"]


def test_losses_and_metrics_know_no_model():
    models = {"student", "teacher", "backbone", "decoder", "distiller", "training"}
    for name in ("losses", "metrics", "keras_metrics"):
        assert not own_modules(pathlib.Path(f"mai_depth/{name}.py")) & models


def test_importing_the_package_is_cheap():
    code = "import sys, mai_depth; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
