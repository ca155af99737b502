"""Phones and tablets with a lidar: Stray Scanner's, Polycam's, Record3D's and ARKitScenes' folders.

Depth is 256x192, with a map of ARKit's confidence: low, medium, high. It is lower at edges, on dark
or shiny surfaces and far away; depth of less than high counts as missing.
Formats: https://github.com/strayrobots/scanner/blob/main/docs/format.md,
https://github.com/PolyCam/polyform, https://github.com/apple/ARKitScenes/blob/main/DATA.md;
Record3D's in `record3d_file`.
"""

import dataclasses
import pathlib

from mai_depth.data.convert.intrinsics import find_intrinsics
from mai_depth.data.convert.intrinsics import read_fx
from mai_depth.data.convert.intrinsics import read_intrinsics
from mai_depth.data.convert.intrinsics import read_metadata
from mai_depth.data.convert.pairing import PICTURE_SUFFIXES
from mai_depth.data.convert.record3d_file import CONFIDENCE_SUFFIX
from mai_depth.data.convert.record3d_file import DEPTH_SUFFIX
from mai_depth.data.convert.record3d_file import METADATA
from mai_depth.data.convert.sequence import Frame
from mai_depth.data.convert.sequence import Intrinsics
from mai_depth.data.convert.sequence import Sequence
from mai_depth.data.convert.sequence import sequence_name
from mai_depth.data.convert.tree import Tree

HIGH_CONFIDENCE = 2  # of 0, 1, 2
POLYCAM_HIGH_CONFIDENCE = 255  # of 0, 127, 255
_VIDEOS = ("rgb.mp4", "rgb.mov")


def find_stray_scanner(tree: Tree) -> list[Sequence]:
    """Finds recordings of Stray Scanner: rgb.mp4 (or rgb/), depth/, confidence/.

    Args:
        tree: Where to look.

    Returns:
        One sequence for each recording.
    """
    return [_recording(tree, folder) for folder, names in tree.folders.items()
            if tree.names(folder / "depth")
            and (tree.names(folder / "confidence") or "camera_matrix.csv" in names)
            and (tree.names(folder / "rgb") or any(video in names for video in _VIDEOS))]


def find_arkit_scenes(tree: Tree) -> list[Sequence]:
    """Finds recordings of ARKitScenes: lowres_wide/, lowres_depth/, confidence/.

    Args:
        tree: Where to look.

    Returns:
        One sequence for each recording.
    """
    return [_by_stem(tree, folder, "lowres_wide", "lowres_depth") for folder in tree.folders
            if tree.names(folder / "lowres_wide") and tree.names(folder / "lowres_depth")]


def find_polycam(tree: Tree) -> list[Sequence]:
    """Finds Polycam's raw data: keyframes/ with images/, depth/, confidence/, cameras/.

    `images`, not `corrected_images`: those are warped and have black borders, depth does not.

    Args:
        tree: Where to look.

    Returns:
        One sequence for each capture.
    """
    return [_capture(tree, folder) for folder in tree.folders
            if (tree.root / folder).absolute().name == "keyframes" and tree.names(folder / "images")
            and tree.names(folder / "depth") and tree.names(folder / "cameras")]


def find_record3d(tree: Tree) -> list[Sequence]:
    """Finds unpacked recordings of Record3D: metadata, rgbd/ with N.jpg, N.depth, N.conf.

    Args:
        tree: Where to look.

    Returns:
        One sequence for each recording.
    """
    return [_record3d(tree, folder) for folder, names in tree.folders.items()
            if METADATA in names and _files(tree, folder / "rgbd", (DEPTH_SUFFIX,))]


def _record3d(tree: Tree, folder: pathlib.PurePath) -> Sequence:
    pictures, depths, qualities = (
        _files(tree, folder / "rgbd", suffixes)
        for suffixes in (PICTURE_SUFFIXES, (DEPTH_SUFFIX,), (CONFIDENCE_SUFFIX,)))
    return _paired(folder, pictures, depths, qualities,
                   read_intrinsics(tree.path(folder, METADATA), read_metadata))


def _capture(tree: Tree, folder: pathlib.PurePath) -> Sequence:
    name = sequence_name(folder.parent if folder.name == "keyframes" else folder)
    camera = tree.path(folder / "cameras", tree.names(folder / "cameras")[0])
    return dataclasses.replace(_by_stem(tree, folder, "images", "depth"), name=name,
                               intrinsics=read_intrinsics(camera, read_fx))


def _recording(tree: Tree, folder: pathlib.PurePath) -> Sequence:
    video = next((name for name in _VIDEOS if name in tree.names(folder)), None)
    if video is None:
        return _by_stem(tree, folder, "rgb", "depth")
    depths, qualities = _files(tree, folder / "depth"), _files(tree, folder / "confidence")
    frames = tuple(
        Frame(stem, int(stem), depth, _quality(qualities, stem))
        for stem, depth in depths.items() if stem.isdecimal())
    return Sequence(sequence_name(folder), frames, find_intrinsics(tree.root / folder, tree.root),
                    video=tree.path(folder, video))


def _by_stem(tree: Tree, folder: pathlib.PurePath, rgb: str, depth: str) -> Sequence:
    return _paired(
        folder, _files(tree, folder / rgb, PICTURE_SUFFIXES), _files(tree, folder / depth),
        _files(tree, folder / "confidence"), find_intrinsics(tree.root / folder, tree.root))


def _paired(
    folder: pathlib.PurePath,
    pictures: dict[str, pathlib.Path],
    depths: dict[str, pathlib.Path],
    qualities: dict[str, pathlib.Path],
    intrinsics: Intrinsics | None,
) -> Sequence:
    frames = tuple(
        Frame(stem, picture, depths[stem], _quality(qualities, stem))
        for stem, picture in pictures.items() if stem in depths)
    return Sequence(sequence_name(folder), frames, intrinsics,
                    alone=tuple(pictures.keys() ^ depths.keys()))


def _files(
    tree: Tree, folder: pathlib.PurePath, suffixes: tuple[str, ...] = (".png", ".npy")
) -> dict[str, pathlib.Path]:
    return {pathlib.PurePath(name).stem: tree.path(folder, name) for name in tree.names(folder)
            if name.lower().endswith(suffixes)}


def _quality(qualities: dict[str, pathlib.Path], stem: str) -> pathlib.Path | None:
    """The quality map of a frame; a missing one is that frame's fault only if others have one."""
    if not qualities:
        return None
    return qualities.get(stem) or next(iter(qualities.values())).with_stem(stem)
