"""Tensors out of an early PyTorch file, and nothing else out of it."""

import collections
import io
import pickle
import sys
import types

import numpy as np
import pytest

from mai_depth.errors import UserError
from mai_depth.network.torch_file import read_torch_tensors

NUMBERS = np.arange(24, dtype=np.float32)


class _Stored:
    """Pickles like a tensor of PyTorch: a function of `torch._utils` on a storage."""

    def __init__(self, offset, shape, strides):
        self.arguments = (_STORAGE, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


_STORAGE = object()


class _Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if value is _STORAGE:
            return ("storage", sys.modules["torch"].FloatStorage, "7", "cpu", len(NUMBERS), None)
        return None


@pytest.fixture
def fake_torch(monkeypatch):
    """The two names of PyTorch that such a file mentions."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

    def _rebuild_tensor_v2(*arguments):
        return arguments

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", (
        "_rebuild_tensor_v2")
    utils._rebuild_tensor_v2, torch._utils = _rebuild_tensor_v2, utils
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def write(path, tensors, magic=0x1950A86A20F9469CFC6C):
    file = io.BytesIO()
    for part in (magic, 1001, {"little_endian": True}, tensors, ["7"]):
        _Pickler(file, protocol=2).dump(part)
    path.write_bytes(file.getvalue() + np.int64(len(NUMBERS)).tobytes() + NUMBERS.tobytes())
    return path


def test_offset_and_strides(tmp_path, fake_torch):
    tensors = collections.OrderedDict(
        rows=_Stored(0, (4, 6), (6, 1)), columns=_Stored(0, (6, 4), (1, 6)),
        last=_Stored(20, (4,), (1,)), scalar=_Stored(5, (), ()))
    read = read_torch_tensors(write(tmp_path / "a.pth", tensors))
    np.testing.assert_array_equal(read["rows"], NUMBERS.reshape(4, 6))
    np.testing.assert_array_equal(read["columns"], NUMBERS.reshape(4, 6).T)
    np.testing.assert_array_equal(read["last"], [20, 21, 22, 23])
    assert read["scalar"] == 5


class _Marker:
    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_the_file_does_not_run(tmp_path, fake_torch):
    marker = _Marker()
    marker.path = tmp_path / "marker"
    path = write(tmp_path / "a.pth", {"weight": marker})
    with pytest.raises(UserError, match=r"a\.pth: not a PyTorch file .*it names (_io|io)\.open"):
        read_torch_tensors(path)
    assert not marker.path.exists()


def test_other_files_are_refused(tmp_path, fake_torch):
    with pytest.raises(UserError, match="no such file"):
        read_torch_tensors(tmp_path / "none.pth")
    whole = write(tmp_path / "a.pth", {"x": _Stored(0, (24,), (1,))})
    for name, data in {"cut": whole.read_bytes()[:-9], "text": b"weights", "empty": b""}.items():
        path = tmp_path / f"{name}.pth"
        path.write_bytes(data)
        with pytest.raises(UserError, match=f"{name}.pth: not a PyTorch file"):
            read_torch_tensors(path)
    with pytest.raises(UserError, match="another format"):
        read_torch_tensors(write(tmp_path / "b.pth", {}, magic=1))
    far = write(tmp_path / "c.pth", {"x": _Stored(20, (24,), (1,))})
    with pytest.raises(UserError, match=r"c\.pth: not a PyTorch file"):
        read_torch_tensors(far)
