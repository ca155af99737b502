"""load_pretrained of a path and of a URL: fetched once, checked, and never half."""

import hashlib
import http.server
import threading

import keras
import pytest

from mai_depth.errors import UserError
from mai_depth.network import download
from mai_depth.network.model_file import save_model
from mai_depth.network.pretrained import load_pretrained


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A small depth model's file."""
    image = keras.layers.Input((48, 64, 3), name="image")
    depth = keras.layers.Conv2D(1, 1, activation="softplus", name="depth_m")(image)
    path = tmp_path_factory.mktemp("network") / "small.keras"
    save_model(keras.Model(image, depth), path)
    return path


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        content = self.server.content
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if "half" in self.path else content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(network):
    """A web server on this machine that gives the network under any name."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.content, server.asked = network.read_bytes(), []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def sha256(network):
    return hashlib.sha256(network.read_bytes()).hexdigest()


def test_a_url_is_asked_once(server, sha256, tmp_path):
    for digits in (sha256, sha256.upper()):
        model = load_pretrained(f"{server.url}/v1/small.keras?raw=1", sha256=digits,
                                cache_dir=tmp_path)
        assert model.output_shape == (None, 48, 64, 1)
    assert server.asked == ["/v1/small.keras?raw=1"]
    [kept] = (tmp_path / "networks").iterdir()
    assert kept.name == f"{sha256[:16]}_small.keras"


def test_a_copy_that_was_changed_is_not_opened(server, sha256, tmp_path):
    path = download.fetch(f"{server.url}/small.keras", sha256, tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"changed or damaged .*downloaded again"):
        load_pretrained(f"{server.url}/small.keras", sha256=sha256, cache_dir=tmp_path)


@pytest.mark.parametrize(("name", "digits", "words"), [
    ("small.keras", None, "small.keras: give its sha256"),
    ("small.keras", "abc", "give its sha256"),
    ("small.keras", "0" * 64, "not the stated file .*not 00000000"),
    ("half.keras", "stated", "half.keras: cannot be downloaded .*try again"),
    ("missing.keras", "stated", "missing.keras: cannot be downloaded .*404"),
])
def test_what_is_refused_leaves_nothing(server, sha256, tmp_path, name, digits, words):
    digits = sha256 if digits == "stated" else digits
    with pytest.raises(UserError, match=words) as fault:
        load_pretrained(f"{server.url}/{name}", sha256=digits, cache_dir=tmp_path)
    assert "\n" not in str(fault.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_nobody_answers(sha256, tmp_path):
    with pytest.raises(UserError, match=r"cannot be downloaded .*give the path of a copy"):
        load_pretrained("http://127.0.0.1:9/small.keras", sha256=sha256, cache_dir=tmp_path)
    with pytest.raises(UserError, match="give an http or https URL"):
        load_pretrained("file:///small.keras", sha256=sha256, cache_dir=tmp_path)


def test_a_cache_that_cannot_be_written(server, sha256, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written .*cache_dir"):
        load_pretrained(f"{server.url}/a.keras", sha256=sha256, cache_dir=tmp_path / "file")


def test_a_path(network, sha256):
    assert load_pretrained(str(network)).output_shape == (None, 48, 64, 1)
    assert load_pretrained(str(network), sha256=sha256).name
    with pytest.raises(UserError, match=r"changed or damaged .*the file that is meant"):
        load_pretrained(str(network), sha256="0" * 64)
