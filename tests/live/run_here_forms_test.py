"""Every form of export in the visitor's browser, on WASM and on WebGPU."""

# ruff: noqa: F811 (fixtures are imported, and named again by the tests)

import numpy as np
import pytest
from chromium import another
from own_page import EXACT_M
from own_page import browser  # noqa: F401  a fixture
from own_page import depth_of
from own_page import opened
from own_page import picture  # noqa: F401  a fixture
from own_page import show
from PIL import Image
from static_site import exported
from static_site import litert_js  # noqa: F401  a fixture
from static_site import served

from mai_depth.network.pretrained import list_pretrained
from mai_depth.network.pretrained import pretrained_path
from mai_depth.tflite.runner import TfliteNetwork

WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
FORMS = [("none", "float32"), ("float16", "float32"), ("none", "uint8"), ("int8", "float32"),
         ("int8", "uint8")]


@pytest.fixture(scope="module")
def form(tmp_path_factory, commands, data_for_int8):
    """Exports the shipped student in a form, once."""
    folder = tmp_path_factory.mktemp("forms")

    def export(quantization, dtype):
        model = folder / f"{quantization}_{dtype}.tflite"
        if not model.exists():
            done = commands(
                "export.py", f"--model={pretrained_path('nyuv2_student_90m')}",
                f"--output={model}", f"--quantization={quantization}", f"--input_dtype={dtype}",
                f"--data_dir={data_for_int8}", "--num_calibration=36",
                f"--cache_dir={folder / 'cache'}", "--allow_inaccurate")
            assert done.returncode == 0, done.stderr[-2000:]
        return model

    return export


@pytest.mark.slow
@pytest.mark.parametrize("name", [
    entry["name"] for entry in list_pretrained() if entry["file"].endswith(".tflite")])
def test_every_shipped_file_answers_as_python(browser, picture, litert_js, tmp_path, name):
    model = pretrained_path(name)
    exported(tmp_path, model, litert_js)
    with served(tmp_path) as port, opened(browser, f"http://127.0.0.1:{port}/depth/") as page:
        show(page, picture)
        right = TfliteNetwork(model)(np.asarray(Image.open(picture)))
        assert np.abs(depth_of(page) - right).max() < EXACT_M


@pytest.mark.slow
@pytest.mark.parametrize(("quantization", "dtype"), FORMS)
def test_every_form_of_export_answers_as_python(
    browser, picture, litert_js, form, tmp_path, quantization, dtype,
):
    model = form(quantization, dtype)
    exported(tmp_path, model, litert_js)
    with served(tmp_path) as port, opened(browser, f"http://127.0.0.1:{port}/depth/") as page:
        show(page, picture)
        right = TfliteNetwork(model)(np.asarray(Image.open(picture)))
        assert np.abs(depth_of(page) - right).max() < EXACT_M


def verdict_of(page):
    """What the page found out of WebGPU."""
    verdict = page.evaluate("ownCamera.verdict")
    if verdict is None or "fault" in verdict:
        pytest.skip(f"WebGPU was not compared, there is no adapter for it here ({verdict})")
    return verdict


@pytest.mark.slow
def test_webgpu_is_compared_and_taken_where_it_is_right_and_faster(
    browser, picture, litert_js, form, tmp_path, capsys,
):
    """SwiftShader computes on the processor, so that the page has to be told that it is faster."""
    model = form("none", "float32")
    exported(tmp_path, model, litert_js)
    right = TfliteNetwork(model)(np.asarray(Image.open(picture)))
    with another(browser.browser_type, *WEBGPU) as graphics, served(tmp_path) as port:
        with opened(graphics, f"http://127.0.0.1:{port}/depth/") as page:
            show(page, picture)
            verdict = verdict_of(page)
            assert verdict["differs_m"] < 1e-3 and not verdict["is_wrong"]
            assert verdict["is_used"] == (verdict["ms"] < verdict["wasm_ms"])
            with capsys.disabled():
                print(f"\n{page.inner_text('#engine')} ({verdict['differs_m']:.1e} m apart)")
        script = tmp_path / "depth" / "depth_worker.js"
        always = script.read_text().replace(" && verdict.ms < verdict.wasm_ms", "")
        assert always != script.read_text()
        script.write_text(always)
        with opened(graphics, f"http://127.0.0.1:{port}/depth/") as page:
            for _ in range(3):
                show(page, picture)
                assert page.inner_text("#engine").startswith("Runs on WebGPU: ")
                assert np.abs(depth_of(page) - right).max() < 1e-3
            page.workers[0].evaluate("litert.getWebGpuDevice().destroy()")
            show(page, picture)
            assert page.inner_text("#engine").startswith("Runs on WASM; WebGPU failed")
            assert np.abs(depth_of(page) - right).max() < EXACT_M


@pytest.mark.slow
def test_webgpu_is_dropped_where_its_second_answer_is_wrong(
    browser, picture, litert_js, form, tmp_path,
):
    """As on some phones. Here a value is moved, since this WebGPU is right with float networks."""
    model = form("none", "float32")
    exported(tmp_path, model, litert_js)
    script = tmp_path / "depth" / "depth_worker.js"
    wrong = script.read_text().replace(
        "const verdict =", "second.values[7] += 0.01; const verdict =")
    assert "+= 0.01" in wrong
    script.write_text(wrong)
    right = TfliteNetwork(model)(np.asarray(Image.open(picture)))
    with another(browser.browser_type, *WEBGPU) as graphics, served(tmp_path) as port, opened(
            graphics, f"http://127.0.0.1:{port}/depth/") as page:
        show(page, picture)
        verdict = verdict_of(page)
        assert verdict["differs_m"] == pytest.approx(0.01, rel=1e-3)
        assert verdict["is_wrong"] and not verdict["is_used"]
        assert "WebGPU is off by" in page.inner_text("#engine")
        show(page, picture)
        assert np.abs(depth_of(page) - right).max() < EXACT_M
