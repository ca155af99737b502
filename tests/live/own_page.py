"""The page that runs the network itself: what the tests of it share."""

import contextlib

import numpy as np
import pytest
from chromium import decoded
from chromium import launched
from chromium import until
from live_process import wide_room
from PIL import Image

from mai_depth.network.pretrained import pretrained_path
from mai_depth.tflite.runner import TfliteNetwork

cv2 = pytest.importorskip("cv2")

SHIPPED = "indoor_student_90m_int8"
EXACT_M = 1e-5


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A generated room, 640x480."""
    path = tmp_path_factory.mktemp("picture") / "room.png"
    Image.fromarray(wide_room()[:, 80:720]).save(path)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium whose camera shows a room; it knows this machine by a name as well."""
    clip_path, wide = tmp_path_factory.mktemp("camera") / "room.y4m", wide_room()
    with clip_path.open("wb") as file:
        file.write(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n")
        for left in (*range(0, 160, 8), *range(160, 0, -8)):
            frame = np.ascontiguousarray(wide[:, left : left + 640])
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())
    with launched("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
                  f"--use-file-for-fake-video-capture={clip_path}",
                  "--host-resolver-rules=MAP depth.test 127.0.0.1") as browser:
        yield browser


@contextlib.contextmanager
def opened(browser, url, **options):
    """A page that says nothing on the console but LiteRT.js's log, and asks nobody else."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    said, asked = [], []
    page = context.new_page()
    page.on("console", lambda message: message.type == "debug" or said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    context.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    until(page, "!['', 'Connecting…'].includes(document.getElementById('status').textContent)")
    try:
        yield page
        assert said == []
        origin = "/".join(url.split("/")[:3]) + "/"
        strange = [one for one in asked if not one.startswith((origin, "blob:", "data:"))]
        assert strange == []
        page.asked = asked
    finally:
        context.close()


def show(page, path):
    """Chooses a picture and waits for its depth, and for what is said of WebGPU."""
    before = page.evaluate("ownCamera.number")
    page.set_input_files("#picture", path)
    until(page, f"head?.number > {before} && !ownCamera.isBusy", 60)
    until(page, "document.getElementById('engine').textContent", 60)


def depth_of(page):
    """The map that the page shows, as floats."""
    values, width, height = page.evaluate(
        "[Array.from(ownCamera.map.values), ownCamera.map.width, ownCamera.map.height]")
    return np.array(values, np.float32).reshape(height, width)


def shown(page):
    """The photo that the page shows, without the marks on it."""
    return decoded(page.evaluate(
        "(() => { const canvas = document.createElement('canvas'); "
        "canvas.width = photoPicture.width; canvas.height = photoPicture.height; "
        "canvas.getContext('2d').drawImage(photoPicture, 0, 0); return canvas.toDataURL(); })()"
    ))[..., :3]


def answer_to(picture, name=SHIPPED):
    return TfliteNetwork(pretrained_path(name))(np.asarray(Image.open(picture)))
