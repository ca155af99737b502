"""KITTI: sparse depth of a laser scanner, in other folders than its pictures.

The layout is that of the depth benchmark (Uhrig et al., "Sparsity Invariant CNNs", 3DV 2017):
`DRIVE/proj_depth/groundtruth/image_02/N.png` beside the raw data `DATE/DRIVE/image_02/data/N.png`,
or the selection `image/DRIVE_image_N_image_02.png` with `groundtruth_depth/`. 256 is one metre.
"""

import pathlib

from mai_depth.data.convert import intrinsics
from mai_depth.data.convert.pairing import PICTURE_SUFFIXES
from mai_depth.data.convert.sequence import Frame
from mai_depth.data.convert.sequence import Intrinsics
from mai_depth.data.convert.sequence import Sequence
from mai_depth.data.convert.tree import Tree
from mai_depth.errors import UserError

_CAMERAS = ("image_02", "image_03")
_CALIBRATION = "calib_cam_to_cam.txt"


def find_drives(tree: Tree) -> list[Sequence]:
    """Finds the drives and the selection of the depth benchmark.

    Args:
        tree: Where to look.

    Returns:
        One sequence for each drive and camera.

    Raises:
        UserError: There is depth, but no picture of any drive.
    """
    annotated = [folder for folder in tree.folders
                 if folder.parts[-3:-1] == ("proj_depth", "groundtruth")
                 and folder.name in _CAMERAS and tree.names(folder)]
    pictures = {("".join(folder.parts[-3:-2]), folder.parts[-2]): folder
                for folder in tree.folders if folder.name == "data" and len(folder.parts) > 1
                and folder.parts[-2] in _CAMERAS and tree.names(folder)}
    drives = [_drive(tree, folder, pictures[_drive_key(folder)]) for folder in annotated
              if _drive_key(folder) in pictures]
    selections = [sequence for folder in tree.folders if tree.names(folder / "groundtruth_depth")
                  for sequence in _selection(tree, folder)]
    if annotated and not drives and not selections:
        raise UserError(f"--input={tree.root}: KITTI's depth without its pictures; put the raw "
                        "data (DATE/DRIVE/image_02/data) there as well")
    return [*drives, *selections]


def _drive_key(folder: pathlib.PurePath) -> tuple[str, str]:
    return "".join(folder.parts[-4:-3]), folder.name


def _drive(tree: Tree, folder: pathlib.PurePath, pictures: pathlib.PurePath) -> Sequence:
    there = {pathlib.PurePath(name).stem: tree.path(pictures, name)
             for name in tree.names(pictures) if name.lower().endswith(PICTURE_SUFFIXES)}
    frames, alone = [], []
    for name in tree.names(folder):
        stem = pathlib.PurePath(name).stem
        if stem in there:
            frames.append(Frame(stem, there[stem], tree.path(folder, name)))
        else:
            alone.append(stem)
    name = "/".join((*folder.parts[:-3], folder.name))
    return Sequence(name, tuple(frames), _calibration(tree, pictures), alone=tuple(alone))


def _calibration(tree: Tree, pictures: pathlib.PurePath) -> Intrinsics | None:
    camera = pictures.parts[-2].removeprefix("image_")
    for place in pictures.parents:
        if _CALIBRATION in tree.names(place):
            path = tree.path(place, _CALIBRATION)
            return intrinsics.read_intrinsics(
                path, lambda path: intrinsics.read_projection(path, camera))
    return None


def _selection(tree: Tree, folder: pathlib.PurePath) -> list[Sequence]:
    """`val_selection_cropped`: single frames of many drives, a sequence for each drive."""
    pictures = set(tree.names(folder / "image"))
    drives: dict[str, list[Frame]] = {}
    for name in tree.names(folder / "groundtruth_depth"):
        picture = name.replace("_groundtruth_depth_", "_image_")
        drive = name.partition("_groundtruth_depth_")[0]
        if picture in pictures:
            drives.setdefault(drive, []).append(Frame(
                pathlib.PurePath(picture).stem, tree.path(folder / "image", picture),
                tree.path(folder / "groundtruth_depth", name)))
    return [
        Sequence((folder / drive).as_posix(), tuple(frames), _selected(tree, folder, frames[0]))
        for drive, frames in drives.items()
    ]


def _selected(tree: Tree, folder: pathlib.PurePath, frame: Frame) -> Intrinsics | None:
    name = f"{frame.name}.txt"
    if name not in tree.names(folder / "intrinsics"):
        return None
    return intrinsics.read_intrinsics(tree.path(folder / "intrinsics", name),
                                      intrinsics.read_matrix)
