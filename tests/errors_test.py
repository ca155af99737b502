"""mai_depth.errors: how a message quotes other errors."""

import signal

import pytest

from mai_depth.errors import died_of
from mai_depth.errors import reason_of


def test_a_death_names_its_signal():
    assert died_of(-signal.SIGSEGV) == "native code died of SIGSEGV"
    assert died_of(-9) == "native code died of SIGKILL"


@pytest.mark.parametrize("error, reason", [
    (RuntimeError("node 3\n\tfailed  "), "node 3 failed"), (ValueError(), "ValueError")])
def test_a_reason_is_one_line_and_never_empty(error, reason):
    assert reason_of(error) == reason
