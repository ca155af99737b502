"""The page of mai_depth.live in headless Chromium: what a visitor sees, clicks and records."""

import contextlib
import io
import time

import numpy as np
import pytest
from chromium import launched
from chromium import metres
from chromium import pixels
from chromium import saved
from chromium import until
from live_process import clip  # noqa: F401  a fixture
from live_process import live
from PIL import Image

from mai_depth.depth import read_depth
from mai_depth.predict.camera_file import read_camera

CALIBRATION = "document.getElementById('calibration').textContent"
READY = "document.getElementById('fps').textContent.includes('camera')"


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(browser, clip):  # noqa: F811
    with live(f"--input={clip}", "--alert_below_m=0.05") as command:
        yield command


@contextlib.contextmanager
def opened(browser, url, width=1280, height=800, **options):
    """The page, moving; at the end it must have said nothing on the console."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url)
    until(page, READY)
    try:
        yield page
        assert said == []
    finally:
        context.close()


def test_depth_moves_and_readings_are_shown(browser, server):
    with opened(browser, server.url) as page:
        first = {name: pixels(page, name) for name in ("photo", "depth")}
        page.wait_for_timeout(700)
        for name, before in first.items():
            assert (pixels(page, name) != before).mean() > 0.05
        assert page.inner_text("#status") == "Live" or "starts again" in page.inner_text("#status")
        assert 0.3 < metres(page, "nearest") < 10
        assert float(page.inner_text("#lag").split()[0]) < 2000
        assert float(page.inner_text("#fps").split()[0]) >= 5
        assert "network" in page.inner_text("#times")
        assert page.locator("#ticks span").count() >= 2


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen_in_light_and_dark(browser, server, width, scheme, tmp_path):
    with opened(browser, server.url, width, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"))
        assert (shot[2:6].mean() > 128) == (scheme == "light")
        boxes = [page.locator(f"#{name}").bounding_box() for name in ("photo", "depth")]
        assert (boxes[0]["y"] == boxes[1]["y"]) == (width == 1280)
        for button in page.locator("button:visible").all():
            assert button.bounding_box()["height"] >= 44  # a finger's


def test_a_click_shows_the_depth_maps_value_and_saving_writes_it(browser, server, tmp_path):
    with opened(browser, server.url, accept_downloads=True) as page:
        page.click("#freeze")
        page.wait_for_timeout(1000)  # a frame may be on its way, on a busy machine for long
        frozen = pixels(page, "photo")
        page.wait_for_timeout(400)
        assert (pixels(page, "photo") == frozen).all()
        box = page.locator("#depth").bounding_box()
        page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.75 * box["height"])
        shown = metres(page, "distance")
        # A click lands on a pixel of the screen, so up to a pixel of the map beside the share.
        x, y = page.evaluate("[point.x * depth.width, point.y * depth.height]")
        assert abs(x - 160) < 2 and abs(y - 360) < 2
        names = saved(page, tmp_path)
        depth = next(name for name in names if name.endswith("_depth.png"))
        written = read_depth(tmp_path / depth)[int(y), int(x)]
        assert written == pytest.approx(shown, abs=0.006)  # centimetres there, millimetres here
        both = Image.open(tmp_path / next(name for name in names if name != depth))
        assert both.size[0] > 1280 and both.size[1] == 480
        page.click("#freeze")
        deadline = time.monotonic() + 20
        while (pixels(page, "photo") == frozen).all():
            assert time.monotonic() < deadline
            page.wait_for_timeout(100)


@pytest.mark.slow
def test_after_a_calibration_the_typed_distance_is_shown(browser, server, tmp_path):
    with opened(browser, server.url, accept_downloads=True) as page:
        page.click("#calibrate button[type=submit]")
        assert page.inner_text("#calibration") == "Click a point in a picture first."
        page.click("#freeze")
        page.click("#photo", position={"x": 300, "y": 350})
        before, nearest = metres(page, "distance"), metres(page, "nearest")
        page.fill("#metres", f"{1.5 * before:.3f}".replace(".", ","))  # a German keyboard
        page.press("#metres", "Enter")
        until(page, f"/^Calibrated: depth x 1.(49|50)/.test({CALIBRATION})")
        # The frozen frame is in the new metres: its readings, its points and its file.
        until(page, f"Math.abs(parseFloat(nearest.textContent) - {1.5 * nearest}) < 0.02")
        page.click("#photo", position={"x": 300, "y": 350})
        page.wait_for_timeout(300)
        assert metres(page, "distance") == pytest.approx(1.5 * before, abs=0.02)
        with page.expect_download() as file:
            page.click("#download")
        file.value.save_as(tmp_path / "camera.json")
        assert read_camera(tmp_path / "camera.json").scale == pytest.approx(1.5, rel=0.01)
        page.fill("#metres", f"{4 * before:.3f}")
        page.press("#metres", "Enter")
        until(page, f"{CALIBRATION}.includes(' Off by more than a quarter: 2 of 2; reset and ')")
        frozen = page.inner_text("#distance")
        page.click("#freeze")
        until(page, f"distance.textContent !== '{frozen}'")
        # The picture moves on: a still one is needed to compare.
        page.click("#reset")
        until(page, f"{CALIBRATION} === 'Not calibrated.'")


@pytest.mark.slow
def test_a_still_picture_shows_the_typed_distance_to_one_per_cent(browser, tmp_path, clip):  # noqa: F811
    import cv2

    _, frame = cv2.VideoCapture(str(clip)).read()
    folder = tmp_path / "still"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), frame)
    with live(f"--input={folder}") as command, opened(browser, command.url) as page:
        page.click("#depth", position={"x": 300, "y": 350})
        typed = 1.7 * metres(page, "distance")
        page.fill("#metres", f"{typed:.3f}")
        page.press("#metres", "Enter")
        until(page, f"{CALIBRATION}.startsWith('Calibrated')")
        until(page, f"Math.abs(parseFloat(distance.textContent) / {typed} - 1) < 0.01")


def test_the_keyboard_alone_measures(browser, server):
    with opened(browser, server.url) as page:
        reached = []
        for _ in range(9):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id"))
        assert reached[:4] == ["depth", "freeze", "save", "record"] and "metres" in reached
        page.focus("#depth")
        page.keyboard.press("ArrowRight")
        assert 0.2 < metres(page, "distance") < 12
        assert page.evaluate("point.x") == pytest.approx(0.5 + 5 / 640)
        until(page, "/^[0-9.]+ m at the point$/.test(spoken.textContent)")
        for _ in range(20):
            page.keyboard.press("Shift+ArrowUp")
        assert page.evaluate("point.y") == 0
        page.keyboard.press("Escape")
        assert page.evaluate("point") is None


@pytest.mark.slow
def test_a_recording_can_be_played(browser, server, tmp_path):
    import cv2

    with opened(browser, server.url, accept_downloads=True) as page:
        page.click("#record")
        page.wait_for_timeout(2500)
        with page.expect_download() as file:
            page.click("#record")
        path = tmp_path / file.value.suggested_filename
        file.value.save_as(path)
        assert page.inner_text("#record") == "Record"
    assert path.suffix in (".mp4", ".webm")
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    assert len(frames) >= 8
    assert frames[-1].shape[1] > 2 * frames[-1].shape[0]
    assert (frames[0] != frames[-1]).mean() > 0.05


@pytest.mark.slow
def test_something_near_is_marked(browser, clip):  # noqa: F811
    with live(f"--input={clip}", "--alert_below_m=9") as command, opened(
            browser, command.url) as page:
        assert page.inner_text("#alert") == "Something is nearer than 9.00 m"
        assert page.evaluate("document.body.classList.contains('near')")
        page.click("#sound")
        assert page.get_attribute("#sound", "aria-pressed") == "true"


@pytest.mark.slow
def test_a_server_that_goes_and_comes_back_is_found_again(browser, clip):  # noqa: F811
    with live(f"--input={clip}") as command:
        port = command.url.split(":")[2].strip("/")
        context = browser.new_context()
        page = context.new_page()
        page.goto(command.url)
        until(page, READY)
        command.stop()
        until(page, "document.getElementById('status').textContent.includes('trying again')")
    with live(f"--input={clip}", f"--port={port}"):
        until(page, "/Live|starts/.test(document.getElementById('status').textContent)")
        before = page.evaluate("head.number")
        until(page, f"head.number !== {before}")
    context.close()


@pytest.mark.slow
def test_with_a_token_the_printed_address_is_enough(browser, clip):  # noqa: F811
    with live(f"--input={clip}", "--token=a-long-secret") as command, opened(
            browser, command.url) as page:
        assert "token" not in page.url
