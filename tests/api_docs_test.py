"""docs/api.py: the page of the public names, built without a warning."""

import html
import re

import pytest
from benchmark_graphs import assert_one_line
from conftest import REPOSITORY

import mai_depth

pytest.importorskip("pdoc", reason="pdoc is not installed; pip install -e '.[docs]'")


@pytest.fixture(scope="module")
def page(commands, tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    done = commands("docs/api.py", f"--output={folder}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Warning" not in done.stderr and "warn" not in done.stdout
    assert f"{len(mai_depth.__all__)} public names" in done.stdout
    return (folder / "mai_depth.html").read_text()


def test_every_public_name_is_there(page):
    for name in mai_depth.__all__:
        assert f'id="{name}"' in page


def test_sections_of_docstrings_are_read_as_such(page):
    """As headings and lists; what pdoc cannot read stays as it is, with its `Args:`."""
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    assert not re.search(r"^ *Args:", text, re.M)
    assert "Arguments:" in text and "Returns:" in text and "Raises:" in text


def test_a_page_that_cannot_be_written_is_told_in_one_line(commands, tmp_path):
    (tmp_path / "file").write_text("")
    assert_one_line(commands("docs/api.py", f"--output={tmp_path / 'file'}"), "file")


def test_pdoc_is_what_the_extra_installs():
    assert re.search(r"^docs = pdoc", (REPOSITORY / "setup.cfg").read_text(), re.M)
