"""The static site and the certificate: what is written, and what is refused in one line."""

import contextlib
import http.client
import json
import socket
import ssl
import subprocess

import benchmark_graphs
import pytest
from benchmark_graphs import assert_one_line
from conftest import REPOSITORY
from live_process import clip  # noqa: F401  a fixture
from live_process import live

from mai_depth.errors import UserError
from mai_depth.live.browser_model import describe
from mai_depth.live.litert_js import LiteRtJs
from mai_depth.live.tls import read_certificate
from mai_depth.network.pretrained import pretrained_path

SHIPPED = "indoor_student_90m_int8"


@pytest.fixture
def npm_folder(tmp_path):
    """What npm leaves, without its 38 MB."""
    core = tmp_path / "npm/node_modules/@litertjs/core"
    utils = core.parent / "wasm-utils"
    for folder in (core / "dist", core / "wasm", utils / "dist"):
        folder.mkdir(parents=True)
    (core / "package.json").write_text('{"version": "2.5.3"}')
    (core / "dist/index.js").write_text(
        'import { createWasmLib } from "@litertjs/wasm-utils";\nexport {};\n'
        "//# sourceMappingURL=index.js.map\n")
    (utils / "dist/index.js").write_text("export {};\n//# sourceMappingURL=index.js.map\n")
    for name in ("litert_wasm_internal", "litert_wasm_compat_internal"):
        for suffix in ("js", "wasm"):
            (core / "wasm" / f"{name}.{suffix}").write_bytes(b"\0asm")
    return tmp_path / "npm"


def export(commands, folder, npm, *flags):
    return commands("-m", "mai_depth.live", f"--export={folder}", f"--litert_js={npm}", *flags)


def test_the_site_is_whole_and_replaced_by_the_next(commands, npm_folder, tmp_path):
    folder = tmp_path / "deep" / "site"
    done = export(commands, folder, npm_folder)
    assert done.returncode == 0, done.stderr
    assert f"{SHIPPED}.tflite and LiteRT.js 2.5.3" in done.stdout
    told = json.loads((folder / "page.json").read_text())
    assert told["server"] is False and told["here"]["alert_below_m"] is None
    assert told["here"]["model"]["name"] == f"{SHIPPED}.tflite"
    assert (folder / "model.tflite").read_bytes() == pretrained_path(SHIPPED).read_bytes()
    script = (folder / "litert/litert.js").read_text()
    assert '"./wasm_utils.js"' in script and "@litertjs" not in script
    assert not any("sourceMappingURL" in path.read_text() for path in folder.rglob("*.js")
                   if "wasm_" not in path.name)
    licence = (REPOSITORY / "LICENSE").read_bytes()
    for name in ("LICENSE.txt", "litert/LICENSE.txt"):
        assert (folder / name).read_bytes() == licence
    assert (folder / "LICENSE-WEIGHTS.txt").is_file()
    assert not [name for name in folder.rglob(".*")]
    done = export(commands, folder, npm_folder, "--alert_below_m=0.5")
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "page.json").read_text())["here"]["alert_below_m"] == 0.5


def test_every_script_of_the_page_is_in_it(commands, npm_folder, tmp_path):
    """And nothing is asked of another host, by an absolute path either: a site may lie deeper."""
    assert export(commands, tmp_path / "site", npm_folder).returncode == 0
    page = (tmp_path / "site/index.html").read_text()
    scripts = [part.split('"')[0] for part in page.split('src="')[1:]]
    assert len(scripts) >= 7 and all((tmp_path / "site" / name).is_file() for name in scripts)
    for path in (tmp_path / "site").glob("*.*"):
        if path.suffix in (".html", ".css", ".js"):
            text = path.read_text()
            assert "http://" not in text and "https://" not in text
            assert 'src="/' not in text and 'href="/' not in text


def test_what_is_no_site_is_not_replaced(commands, npm_folder, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    assert_one_line(export(commands, tmp_path / "home", npm_folder),
                    "holds thesis.tex", "give an empty folder or a new one")
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years of work"
    (tmp_path / "file").write_text("")
    assert_one_line(export(commands, tmp_path / "file", npm_folder), "is not a folder")
    assert_one_line(export(commands, tmp_path / "file" / "site", npm_folder),
                    f"--export={tmp_path}/file/site: cannot be written (")


@pytest.mark.parametrize(("flags", "words"), [
    (["--export=site"], ["--export: run npm install @litertjs/core@2.5.3 in a folder"]),
    (["--export=site", "--litert_js=none"], ["--litert_js=none", "npm install @litertjs/core"]),
    (["--export=site", "--port=80"], ["--port", "leave it out with --export"]),
    (["--export=site", "--input=0"], ["--input", "leave it out with --export"]),
    (["--tls_cert=none.pem", "--tls_key=none.pem"], ["--tls_cert=none.pem", "mkcert"]),
    (["--tls_cert=README.md"], ["--tls_cert: give --tls_key as well"]),
    (["--tls_key=README.md"], ["--tls_key: give --tls_cert as well"]),
    (["--tls_cert=README.md", "--tls_key=README.md"], ["not a certificate in PEM", "mkcert"]),
])
def test_what_a_user_can_mend_is_one_line(commands, flags, words):
    assert_one_line(commands("-m", "mai_depth.live", *flags), *words)


@pytest.mark.parametrize(("break_it", "words"), [
    (lambda core: (core / "package.json").write_text("{"), "no usable LiteRT.js"),
    (lambda core: (core / "package.json").unlink(), "core/package.json"),
    (lambda core: (core / "dist/index.js").write_text("export {};"), "version 2.5.3 is built"),
    (lambda core: (core / "wasm/litert_wasm_internal.wasm").unlink(),
     "core/wasm/litert_wasm_internal.wasm is missing"),
])
def test_an_installation_that_cannot_be_used_is_named(npm_folder, break_it, words):
    break_it(npm_folder / "node_modules/@litertjs/core")
    with pytest.raises(UserError, match=r"run npm install @litertjs/core@2\.5\.3 there") as fault:
        LiteRtJs(npm_folder)
    assert words in str(fault.value) and str(fault.value).startswith(f"--litert_js={npm_folder}")


def test_the_network_is_described():
    told = describe(pretrained_path(SHIPPED), 0.5)
    model = told["model"]
    assert (model["height"], model["width"], model["output"]) == (480, 640, [480, 640])
    assert model["input"] == "float32" and model["webgpu"] is False
    assert len(told["colors"]) == 256 and told["alert_below_m"] == 0.5


def test_numbers_that_a_browser_does_not_know_are_refused():
    graphs = benchmark_graphs.graphs()
    assert describe(graphs["float32"], None)["model"]["webgpu"] is True
    assert describe(graphs["float16"], None)["model"]["webgpu"] is True
    for name, words in (("int8_io", "its output is int8"), ("int16_io", "its output is int16")):
        with pytest.raises(UserError, match=r"cannot handle; export it again") as fault:
            describe(graphs[name], None)
        assert words in str(fault.value)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A certificate that signs itself, its key, and a key with a password."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key, locked = (folder / name for name in ("cert.pem", "key.pem", "locked.pem"))
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-keyout", key, "-out", cert], check=True, capture_output=True)
        subprocess.run(["openssl", "rsa", "-in", key, "-aes256", "-passout", "pass:secret",
                        "-out", locked], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl: apt-get install openssl")
    return cert, key, locked


def test_a_certificate_is_checked(pair):
    cert, key, locked = pair
    assert read_certificate(None, None) is None
    assert read_certificate(cert, key) == (str(cert), str(key))
    for wrong in (locked, cert):
        with pytest.raises(UserError, match="its own key without a password"):
            read_certificate(cert, wrong)


def test_https_is_served_and_plain_http_is_not_a_word(pair, clip):  # noqa: F811
    cert, key, _ = pair
    with live(f"--input={clip}", f"--tls_cert={cert}", f"--tls_key={key}") as command:
        assert command.url.startswith("https://127.0.0.1:")
        port = int(command.url.rstrip("/").rsplit(":", 1)[1])
        context = ssl.create_default_context(cafile=cert)
        context.check_hostname = False
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
        connection.request("GET", "/page.json")
        answer = connection.getresponse()
        assert answer.status == 200
        assert json.loads(answer.read()) == {"server": True, "here": None}
        for content in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 5000):
            with socket.create_connection(("127.0.0.1", port), 5) as plain:
                plain.settimeout(2)
                plain.sendall(content)
                with contextlib.suppress(OSError):
                    plain.recv(100)
        _, said = command.stop()
    assert said[-1] == "stopped" and not any("Traceback" in line for line in said)
    assert len(said) <= 2
