"""LiteRT.js by npm, an exported page, and a web server that knows nothing of either."""

import contextlib
import functools
import http.server
import shutil
import subprocess
import threading

import pytest

from mai_depth.live.browser_model import describe
from mai_depth.live.litert_js import INSTALL
from mai_depth.live.litert_js import LiteRtJs
from mai_depth.live.site import export_site


@pytest.fixture(scope="session")
def litert_js(tmp_path_factory):
    """The folder of the docs' `npm install` line."""
    if shutil.which("npm") is None:
        pytest.skip("no npm: apt-get install npm")
    folder = tmp_path_factory.mktemp("npm")
    command = [*INSTALL.split(), "--no-audit", "--no-fund", "--fetch-retries=0"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{INSTALL}: no answer within two minutes")
    if done.returncode:
        pytest.skip(f"{INSTALL} failed: {done.stderr[-300:]}")
    return folder


def exported(folder, model, litert_js):
    """The page in `folder/depth`."""
    export_site(folder / "depth", model, LiteRtJs(litert_js), describe(model, None))
    return folder


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(folder):
    """Serves a folder as `python -m http.server` does; gives the port."""
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
