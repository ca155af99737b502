"""examples/android: its Kotlin compiles against stubs, and its pixels are those of Python.

The Gradle build is not run: Android's and LiteRT's packages come from servers of their own.
"""

import os
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from android_stubs import STUBS
from conftest import REPOSITORY

APP = REPOSITORY / "examples" / "android" / "app"
SOURCES = sorted((APP / "src" / "main" / "java").rglob("*.kt"))
COMPILER = os.environ.get("KOTLINC") or shutil.which("kotlinc")


def test_the_manifest_names_what_there_is():
    root = ElementTree.parse(APP / "src" / "main" / "AndroidManifest.xml").getroot()
    name = "{http://schemas.android.com/apk/res/android}name"
    assert root.find("uses-permission").get(name) == "android.permission.CAMERA"
    activity = root.find("application/activity").get(name)
    [namespace] = re.findall(r'namespace = "(.+)"', (APP / "build.gradle.kts").read_text())
    texts = {path.stem: path.read_text() for path in SOURCES}
    assert all(f"package {namespace}\n" in text for text in texts.values())
    assert activity.removeprefix(".") in texts


@pytest.fixture(scope="module")
def jar(tmp_path_factory):
    """The app and the check's `main`, compiled with the stubs."""
    if not COMPILER or not shutil.which("java"):
        pytest.skip("no Kotlin compiler; set KOTLINC to a kotlinc (npm's kotlin-compiler has one)")
    folder = tmp_path_factory.mktemp("kotlin")
    for package, text in STUBS.items():
        (folder / f"{package}.kt").write_text(f"package {package}\n{text}")
    jar = folder / "app.jar"
    done = subprocess.run(
        ["bash", COMPILER, "-nowarn", *sorted(folder.glob("*.kt")), *SOURCES,
         REPOSITORY / "tests" / "android" / "Check.kt", "-include-runtime", "-d", jar],
        capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return jar


def bilinear(rgb, size):
    """[height, width, 3] resized with half-pixel centres and no antialiasing, float64."""
    for axis, count in enumerate(size):
        length = rgb.shape[axis]
        places = np.clip((np.arange(count) + 0.5) * length / count - 0.5, 0, length - 1)
        low = places.astype(int)
        shape = [1, 1, 1]
        shape[axis] = count
        share = (places - low).reshape(shape)
        high = np.minimum(low + 1, length - 1)
        rgb = np.take(rgb, low, axis) * (1 - share) + np.take(rgb, high, axis) * share
    return rgb


def run(jar, folder: pathlib.Path, rgba, stride, size, depth):
    height, width = rgba.shape[:2]
    rows = np.pad(rgba.reshape(height, -1), ((0, 0), (0, stride - 4 * width)), constant_values=9)
    (folder / "in").write_bytes(rows.tobytes())
    (folder / "depth").write_bytes(depth.astype("<f4").tobytes())
    subprocess.run(
        ["java", "-cp", jar, "CheckKt", folder / "in", str(width), str(height), str(stride),
         folder / "rgb", str(size[1]), str(size[0]), folder / "depth", folder / "argb"], check=True)
    rgb = np.fromfile(folder / "rgb", np.uint8).reshape(*size, 3)
    return rgb, np.fromfile(folder / "argb", np.uint8).reshape(-1, 4)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(480, 640), (720, 960)])
def test_pixels_are_those_of_python(jar, tmp_path, size):
    rgba = np.random.default_rng(0).integers(0, 256, (*size, 4), np.uint8)
    depth = np.array([0.5, 1.0, 2.5, 4.5])
    rgb, argb = run(jar, tmp_path, rgba, 4 * size[1] + 32, (480, 640), depth)
    expected = bilinear(rgba[..., :3].astype(float), (480, 640))
    # A half level and the rounding of float32; of a picture of its own size, the very bytes.
    assert np.abs(rgb - expected).max() <= (0 if size == (480, 640) else 0.502)
    # The nearest is the last colour of the ramp, half way the middle one, the farthest the first.
    assert argb[[0, 2, 3]].tolist() == [
        [255, 122, 4, 3], [255, 164, 252, 60], [255, 48, 18, 59]]
