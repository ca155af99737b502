"""Arrays of Record3D's recordings (iPhone, iPad): an unpacked .r3d, which is a zip file.

Beside each picture `rgbd/N.jpg` lie `N.depth`, float32 metres, and `N.conf`, ARKit's confidence in
bytes, both compressed by Apple's LZFSE; `metadata` is JSON and says for all of them how wide and
high pictures (`w`, `h`) and depth (`dw`, `dh`) are. https://github.com/marek-simonik/record3d
"""

import functools
import math
import pathlib
from types import ModuleType

import numpy as np

from mai_depth.errors import UserError
from mai_depth.json_file import read_json

METADATA = "metadata"
DEPTH_SUFFIX, CONFIDENCE_SUFFIX = ".depth", ".conf"


def read_record3d(path: pathlib.Path) -> np.ndarray:
    """Reads one array.

    Args:
        path: rgbd/N.depth or rgbd/N.conf, two folders below its `metadata`.

    Returns:
        [height, width]: float32 metres, NaN = missing, or the confidence as uint8.

    Raises:
        UserError: It cannot be read or does not have the size that `metadata` says, or lzfse is
            not installed.
    """
    lzfse = _lzfse(path)
    try:
        data = lzfse.decompress(path.read_bytes())
        values = np.frombuffer(data, np.float32 if path.suffix == DEPTH_SUFFIX else np.uint8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); replace the file") from error
    except (lzfse.error, ValueError, MemoryError) as error:
        raise UserError(f"{path}: not an array compressed by LZFSE; export it again") from error
    metadata = path.parent.parent / METADATA
    width, height = _depth_size(metadata, values.size)
    if width < 1 or width * height != values.size:
        raise UserError(f"{path}: holds {values.size} numbers, but {metadata} says {width}x"
                        f"{height}; export it again")
    return values.reshape(height, width)


@functools.lru_cache(maxsize=8)  # the file is read once, and is long: it holds the camera's path
def _depth_size(metadata: pathlib.Path, count: int) -> tuple[int, int]:
    """Width and height of the depth; recordings of older versions give the pictures' alone."""
    try:
        content = read_json(metadata)
        if "dw" in content:
            return int(content["dw"]), int(content["dh"])
        width = round(math.sqrt(count * content["w"] / content["h"]))
        return width, count // max(1, width)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise UserError(f"{metadata}: does not say how wide and high the depth is ({error}); "
                        "export the recording again") from error


def _lzfse(path: pathlib.Path) -> ModuleType:
    try:
        import lzfse
    except ImportError as error:
        raise UserError(f"{path}: is compressed by LZFSE; pip install lzfse") from error
    return lzfse
