"""The files of a packed split, by the number of their pair."""

import numpy as np

from mai_depth.data.pack.manifest import Manifest
from mai_depth.data.pack.shard import RecordFile


class PackedFiles:
    """The pictures or the depth maps of a split, by number; takes little memory for any count.

    Args:
        manifest: The packed folder's manifest.
        split: The split's name.
        part: `rgb` or `depth`.
    """

    def __init__(self, manifest: Manifest, split: str, part: str):
        self.part = part
        shards = manifest.splits[split].shards
        self._paths = [manifest.folder.resolve() / shard.name for shard in shards]
        self._starts = np.cumsum([0, *(shard.pairs for shard in shards)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def file(self, number: int, name: str = "") -> RecordFile:
        """Returns a file, not opened yet.

        Args:
            number: The pair's number.
            name: The pair's name, for messages; by default its number.
        """
        number = range(len(self))[number]
        at = int(np.searchsorted(self._starts, number, side="right")) - 1
        return RecordFile(
            self._paths[at], number - int(self._starts[at]), self.part, name or str(number))
