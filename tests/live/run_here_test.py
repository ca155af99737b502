"""The network in the visitor's own browser: the static site and the server's page, in Chromium."""

# ruff: noqa: F811 (fixtures are imported, and named again by the tests)

import subprocess

import numpy as np
import pytest
from chromium import another
from chromium import metres
from chromium import saved
from chromium import until
from live_process import clip  # noqa: F401  a fixture
from live_process import live
from own_page import EXACT_M
from own_page import SHIPPED
from own_page import answer_to
from own_page import browser  # noqa: F401  a fixture
from own_page import depth_of
from own_page import opened
from own_page import picture  # noqa: F401  a fixture
from own_page import show
from own_page import shown
from PIL import Image
from static_site import exported
from static_site import litert_js  # noqa: F401  a fixture
from static_site import served

from mai_depth.checksum import file_sha256
from mai_depth.depth import read_depth
from mai_depth.network.pretrained import pretrained_path
from mai_depth.predict.camera_file import read_camera
from mai_depth.predict.camera_picture import read_picture
from mai_depth.predict.prediction import predict
from mai_depth.tflite.runner import TfliteNetwork


@pytest.fixture(scope="module")
def site(tmp_path_factory, litert_js):
    """The address of a static site with the network that the package brings."""
    folder = exported(tmp_path_factory.mktemp("site"), pretrained_path(SHIPPED), litert_js)
    with served(folder) as port:
        yield f"http://127.0.0.1:{port}/depth/"


def test_the_static_site_answers_as_python_and_asks_nobody(browser, site, picture, tmp_path):
    with opened(browser, site, accept_downloads=True) as page:
        assert page.inner_text("#status") == "Start the camera, or choose a picture."
        show(page, picture)
        right = answer_to(picture)
        assert np.abs(depth_of(page) - right).max() < EXACT_M
        np.testing.assert_array_equal(shown(page), np.asarray(Image.open(picture)))
        assert page.inner_text("#engine") == "Runs on WASM."
        assert 0 < page.evaluate("head.network_ms") < 2000
        name, = (name for name in saved(page, tmp_path) if name.endswith("_depth.png"))
        assert np.abs(read_depth(tmp_path / name) - right).max() < 1e-3
    names = {url.rsplit("/", 1)[-1] for url in page.asked}
    assert {"depth_worker.js", "litert.js", "litert_wasm_internal.wasm", "model.tflite"} <= names


@pytest.mark.slow
def test_the_visitors_camera(browser, site, capsys):
    with opened(browser, site) as page:
        page.click("#camera")
        until(page, "head?.number > 20", 60)
        assert page.inner_text("#status") == "Live"
        assert page.inner_text("#camera") == "Stop the camera"
        page.click("#freeze")
        page.wait_for_timeout(300)
        frame, depth = shown(page), depth_of(page)
        assert frame.shape == (480, 640, 3) and frame.std() > 20
        right = TfliteNetwork(pretrained_path(SHIPPED))(frame)
        assert np.abs(depth - right).max() < EXACT_M
        number = page.evaluate("head.number")
        page.click("#freeze")
        until(page, f"head.number > {number + 2}")
        told = page.inner_text("#times"), page.inner_text("#fps"), page.inner_text("#lag")
        with capsys.disabled():
            print(f"\nmilliseconds in the browser: {told[0]}; {told[1]} frames a second; {told[2]}")
        page.click("#camera")
        assert page.inner_text("#status") == "The camera is off."
        page.wait_for_timeout(300)
        number = page.evaluate("head.number")
        page.wait_for_timeout(300)
        assert page.evaluate("head.number") == number


def test_a_point_a_calibration_and_its_file(browser, site, picture, tmp_path):
    with opened(browser, site, accept_downloads=True) as page:
        show(page, picture)
        page.click("#depth", position={"x": 150, "y": 300})
        before = metres(page, "distance")
        point = page.evaluate("[point.y * 480, point.x * 640]")
        right = answer_to(picture)[tuple(int(at) for at in point)]
        assert before == pytest.approx(right, abs=0.0051)
        page.fill("#metres", f"{1.5 * before:.3f}")
        page.press("#metres", "Enter")
        until(page, "calibration.text?.startsWith('depth x 1.')")
        until(page, f"Math.abs(parseFloat(distance.textContent) - {1.5 * before}) < 0.011")
        until(page, "ownCamera.mapScale > 1.4 && !ownCamera.isBusy")
        scaled = answer_to(picture) * page.evaluate("ownCamera.scale")
        assert depth_of(page) == pytest.approx(scaled)
        with page.expect_download() as file:
            page.click("#download")
        file.value.save_as(tmp_path / "camera.json")
        camera = read_camera(tmp_path / "camera.json")
        assert camera.scale == pytest.approx(1.5, rel=0.01)
        assert camera.network_sha256 == file_sha256(pretrained_path(SHIPPED))
        assert camera.size == (640, 480)
        Image.open(picture).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png")
        show(page, tmp_path / "turned.png")
        factor = page.evaluate("ownCamera.mapScale")
        assert factor == pytest.approx(camera.factor((480, 640), None, (640, 480)))
        page.click("#reset")
        until(page, "document.getElementById('calibration').textContent === 'Not calibrated.'")


@pytest.mark.slow
def test_a_portrait_picture_and_one_of_another_size(browser, site, picture, tmp_path):
    """Canvas and Pillow reduce a picture a little differently."""
    network = TfliteNetwork(pretrained_path(SHIPPED))
    for size in ((360, 480), (900, 1200)):
        path = tmp_path / f"{size[0]}.png"
        Image.open(picture).resize(size).save(path)
        with opened(browser, site) as page:
            show(page, path)
            depth = depth_of(page)
        assert depth.shape == (480, 360)
        right = predict(network, read_picture(path)).depth_m((360, 480))
        off = np.abs(np.log(depth / right))
        assert off.mean() < (1e-3 if size == (360, 480) else 0.03)


@pytest.mark.slow
def test_a_browser_without_relaxed_simd(browser, picture, litert_js, tmp_path):
    """For which the second variant is; here it is put in the place of the first.

    It rounds some of the integers to their neighbours.
    """
    litert = exported(tmp_path, pretrained_path(SHIPPED), litert_js) / "depth" / "litert"
    script = (litert / "litert_wasm_compat_internal.js").read_bytes()
    (litert / "litert_wasm_internal.js").write_bytes(script)
    with served(tmp_path) as port, opened(browser, f"http://127.0.0.1:{port}/depth/") as page:
        show(page, picture)
        off = np.abs(np.log(depth_of(page) / answer_to(picture)))
        assert off.mean() < 0.01 and off.max() < 0.05
    assert any(url.endswith("litert_wasm_compat_internal.wasm") for url in page.asked)


def test_a_transparent_picture_lies_on_white_as_in_python(browser, site, picture, tmp_path):
    clear = Image.open(picture).convert("RGBA")
    clear.paste((0, 0, 0, 0), (100, 100, 500, 400))
    clear.save(tmp_path / "clear.png")
    with opened(browser, site) as page:
        for path in (picture, tmp_path / "clear.png"):
            show(page, path)
        np.testing.assert_array_equal(
            shown(page), np.asarray(read_picture(tmp_path / "clear.png").rgb))


def test_what_is_no_picture_is_said(browser, site, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with opened(browser, site) as page:
        page.set_input_files("#picture", tmp_path / "notes.txt")
        until(page, "document.getElementById('status').textContent.startsWith('notes.txt: not a')")


def test_by_plain_http_the_page_says_why_there_is_no_camera(browser, site, picture):
    with opened(browser, site.replace("127.0.0.1", "depth.test")) as page:
        assert page.is_visible("#secure") and page.is_disabled("#camera")
        assert "only on https and localhost" in page.inner_text("#secure")
        show(page, picture)
        assert np.abs(depth_of(page) - answer_to(picture)).max() < EXACT_M
    with opened(browser, site) as page:
        assert not page.is_visible("#secure") and page.is_enabled("#camera")


def test_opened_as_a_file_it_asks_for_a_web_server(browser, tmp_path, litert_js):
    page = browser.new_page()
    page.goto(f"file://{exported(tmp_path, pretrained_path(SHIPPED), litert_js)}/depth/index.html")
    until(page, "document.getElementById('status').textContent.includes('through a web server')")
    page.close()


def test_a_browser_that_refuses_the_camera_or_has_none(browser, site):
    with another(browser.browser_type) as bare, opened(bare, site) as page:
        page.click("#camera")
        until(page, "/no camera|not allowed/.test(document.getElementById('status').textContent)")
        assert page.inner_text("#camera") == "Start the camera"


def test_a_page_without_its_files_says_so(browser, site, tmp_path, litert_js):
    exported(tmp_path, pretrained_path(SHIPPED), litert_js)
    (tmp_path / "depth" / "model.tflite").unlink()
    with served(tmp_path) as port:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/depth/")
        page.click("#camera")
        until(page, "document.getElementById('status').textContent === 'The network does not run "
                    "in this browser (model.tflite: HTTP 404).'")
        (tmp_path / "depth" / "page.json").unlink()
        page.goto(f"http://127.0.0.1:{port}/depth/")
        until(page, "document.getElementById('status').textContent.startsWith('The page is inc')")
        page.close()


@pytest.mark.slow
def test_six_hundred_frames_do_not_use_it_up(browser, site, picture):
    """Tensors that are not freed end LiteRT.js after some 435."""
    with opened(browser, site) as page:
        show(page, picture)
        page.evaluate("""(async () => {
          for (let turn = 0; turn < 600; turn += 1) {
            ownCamera.next();
            while (ownCamera.isBusy) await new Promise((go) => setTimeout(go, 0));
          }
        })()""")
        assert page.evaluate("head.number") > 600
        assert np.abs(depth_of(page) - answer_to(picture)).max() < EXACT_M


@pytest.mark.slow
def test_the_servers_page_runs_it_here_and_goes_back(
    browser, clip, picture, litert_js,
):
    with live(f"--input={clip}", f"--litert_js={litert_js}") as command, opened(
            browser, command.url) as page:
        until(page, "head && source === connection")
        show(page, picture)
        assert page.evaluate("source === ownCamera")
        assert np.abs(depth_of(page) - answer_to(picture)).max() < EXACT_M
        number = page.evaluate("head.number")
        page.wait_for_timeout(500)
        assert page.evaluate("head.number") == number  # no frame of the server comes in between
        page.click("#camera")
        until(page, f"head?.number > {number + 3}", 30)
        page.click("#server")
        until(page, "source === connection && head?.number > 0", 30)
        assert page.inner_text("#camera") == "Start the camera"
        page.evaluate("connection.close()")


@pytest.mark.slow
def test_over_https_another_machines_visitor_has_a_camera(
    browser, clip, litert_js, tmp_path,
):
    cert, key = certificate(tmp_path)
    with live(f"--input={clip}", f"--litert_js={litert_js}", "--token=a-long-secret",
              f"--tls_cert={cert}", f"--tls_key={key}") as command:
        assert command.url.startswith("https://127.0.0.1:")
        url = command.url.replace("127.0.0.1", "depth.test")
        with opened(browser, url, ignore_https_errors=True) as page:
            until(page, "head && source === connection")
            assert page.evaluate("isSecureContext")
            [cookie] = page.context.cookies()
            assert cookie["secure"] and cookie["httpOnly"]
            page.click("#camera")
            until(page, "source === ownCamera && head?.number > 3", 60)
            page.evaluate("ownCamera.stop()")


def certificate(folder):
    """A certificate that signs itself."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=depth.test", "-keyout", key, "-out", cert], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl: apt-get install openssl")
    return cert, key
