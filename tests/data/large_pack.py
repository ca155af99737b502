"""For the tests of what is too large to be decoded beforehand."""

import pytest

from mai_depth.data import sources


@pytest.fixture(autouse=True)
def large(monkeypatch):
    """Any packed split counts as large: it is decoded as it is read."""
    monkeypatch.setattr(sources, "CACHED_PAIRS", 0)
