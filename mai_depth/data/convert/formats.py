"""The table of layouts: their names, how they are recognised, and what their numbers mean."""

import functools
import pathlib
import re
from collections.abc import Callable
from typing import Any
from typing import NamedTuple

from mai_depth.data.convert import kitti
from mai_depth.data.convert import phone
from mai_depth.data.convert import timestamps
from mai_depth.data.convert.pairing import Candidate
from mai_depth.data.convert.pairing import candidates
from mai_depth.data.convert.pairing import find_pairs
from mai_depth.data.convert.sequence import Intrinsics
from mai_depth.data.convert.sequence import Sequence
from mai_depth.data.convert.tree import Tree
from mai_depth.data.convert.tree import scan
from mai_depth.errors import UserError

AUTO = "auto"
COMMAND = "python -m mai_depth.data.convert"

_GUESS_FOLDERS = 200  # as many as a hint looks at
_PACKED = {  # files that hold recordings -> what to do
    ".sens": "export color and depth with ScanNet's SensReader",
    ".bag": "export it as color_N.png and 16-bit depth_N.png, depth aligned to color",
    ".mkv": "export it as color_N.png and 16-bit depth_N.png, depth aligned to color",
    ".r3d": "unpack it first, each into a folder of its own: unzip NAME.r3d -d NAME",
    **dict.fromkeys((".zip", ".tar", ".tgz", ".gz", ".7z"), "unpack it first"),
}


class Format(NamedTuple):
    """A layout of pictures and depth.

    Attributes:
        name: Its value of `--format`.
        title: Its name in messages.
        layout: The files to look for.
        depth: What the numbers in the depth files mean.
        find: Lists the sequences of a tree; none if it has another layout.
        units_per_m: Depth units per metre; None goes by the file: integers are millimetres, floats
            are metres.
        least_quality: Depth whose quality is below this counts as missing.
        note: What the user should know about the conversion, or nothing.
    """

    name: str
    title: str
    layout: str
    depth: str
    find: Callable[[Tree], list[Sequence]]
    units_per_m: float | None = None
    least_quality: int = 0
    note: str = ""


def _is_scannet(candidate: Candidate, depth: pathlib.PurePath) -> bool:
    picture = candidate.picture
    return bool(picture and picture.parent.name == "color" and depth.parent.name == "depth"
                and picture.stem.isdecimal() and depth.stem.isdecimal())


def _is_seven_scenes(candidate: Candidate, depth: pathlib.PurePath) -> bool:
    return bool(re.fullmatch(r"frame-\d+\.depth\.png", depth.name))


def _is_diode(candidate: Candidate, depth: pathlib.PurePath) -> bool:
    return bool(candidate.mask) and depth.name.endswith("_depth.npy")


def _is_realsense(candidate: Candidate, depth: pathlib.PurePath) -> bool:
    picture = candidate.picture
    return bool(picture and re.search("colou?r", picture.stem.lower())
                and "depth" in depth.stem.lower())


def _named(*suffixes: str, **options: Any) -> Callable[[Tree], list[Sequence]]:
    """A layout that is recognised by names alone, see `find_pairs`."""
    return functools.partial(find_pairs, suffixes=suffixes, **options)


# The order matters: the first that finds a pair is the layout of the whole folder.
FORMATS = (
    Format("tum", "TUM RGB-D", "rgb.txt and depth.txt with time stamps, or associations.txt",
           "16-bit PNG, 5000 = 1 m", timestamps.find_recordings, 5000.0),
    Format("stray_scanner", "Stray Scanner (ARKit)",
           "rgb.mp4 or rgb/N, depth/N.png, confidence/N.png, camera_matrix.csv",
           "16-bit PNG or .npy, mm, 256x192", phone.find_stray_scanner,
           least_quality=phone.HIGH_CONFIDENCE,
           note="depth of less than high confidence counts as missing"),
    Format("polycam", "Polycam's raw data", "keyframes/ with images/N.jpg, depth/N.png, "
           "confidence/N.png, cameras/N.json", "16-bit PNG, mm, 256x192", phone.find_polycam,
           least_quality=phone.POLYCAM_HIGH_CONFIDENCE,
           note="depth of less than high confidence counts as missing"),
    Format("record3d", "Record3D", "metadata, rgbd/ with N.jpg, N.depth, N.conf",
           "32-bit floats, metres, 256x192", phone.find_record3d,
           least_quality=phone.HIGH_CONFIDENCE,
           note="depth of less than high confidence counts as missing"),
    Format("arkit_scenes", "ARKitScenes", "lowres_wide/NAME.png, lowres_depth/NAME.png, "
           "confidence/NAME.png", "16-bit PNG, mm, 256x192", phone.find_arkit_scenes,
           least_quality=phone.HIGH_CONFIDENCE,
           note="depth of less than high confidence counts as missing"),
    Format("kitti", "KITTI depth", "DRIVE/proj_depth/groundtruth/image_02/N.png with the raw data "
           "DRIVE/image_02/data/N.png, or val_selection_cropped",
           "16-bit PNG, 256 = 1 m, sparse", kitti.find_drives, 256.0),
    Format("scannet", "ScanNet", "color/N.jpg, depth/N.png", "16-bit PNG, mm, of another size",
           _named(".png", accepts=_is_scannet)),
    Format("seven_scenes", "7-Scenes", "frame-N.color.png, frame-N.depth.png",
           "16-bit PNG, mm, 65535 = missing",
           _named(".png", accepts=_is_seven_scenes,
                  known=Intrinsics(585.0, 640)),
           note="its colour and depth are not registered: they are off by a few pixels"),
    Format("diode", "DIODE", "NAME.png, NAME_depth.npy, NAME_depth_mask.npy",
           ".npy, metres, with a mask",
           _named(".npy", accepts=_is_diode,
                  known=Intrinsics(886.81, 1024)), least_quality=1),
    Format("realsense", "RealSense", "names with color and depth: color_N.png, depth_N.png",
           "16-bit PNG, mm", _named(".png", accepts=_is_realsense)),
    Format("npy", ".npy", "rgb/NAME.jpg, depth/NAME.npy, or NAME.jpg, NAME.npy",
           "floats in metres or integers in mm", _named(".npy")),
    Format("npz", ".npz", "rgb/NAME.jpg, depth/NAME.npz with the array depth, or NAME.npz with rgb "
           "and depth", "floats in metres or integers in mm",
           _named(".npz")),
    Format("tiff", "TIFF", "rgb/NAME.jpg, depth/NAME.tiff",
           "32-bit floats in metres or 16-bit mm",
           _named(".tif", ".tiff")),
    Format("png", "16-bit PNG", "rgb/NAME.jpg, depth/NAME.png, also SPLIT/rgb, SPLIT/depth",
           "16-bit PNG, mm", _named(".png")),
)
NAMES = tuple(layout.name for layout in FORMATS)


def recognise(tree: Tree, name: str = AUTO) -> tuple[Format, list[Sequence]]:
    """Finds the pairs of a folder.

    Args:
        tree: The folder.
        name: One of `NAMES`, or `auto` for the first of them that finds any.

    Returns:
        The layout and its sequences, at least one with at least one frame.

    Raises:
        UserError: There are none, or a file cannot be read.
    """
    for layout in FORMATS:
        if name in (AUTO, layout.name):
            sequences = [sequence for sequence in layout.find(tree) if sequence.frames]
            if sequences:
                return layout, sequences
    raise UserError(f"--input={tree.root}: {_why_not(tree, name)}")


def other_layouts(tree: Tree, taken: Format, sequences: list[Sequence]) -> list[tuple[Format, int]]:
    """Finds pairs of a folder that are in other layouts than the one that was taken.

    Args:
        tree: The folder.
        taken: The layout of `sequences`.
        sequences: What was found in it.

    Returns:
        The other layouts, each with its number of pairs; a pair counts once.
    """
    known = {path for sequence in sequences for frame in sequence.frames for path in frame[1:3]}
    others = []
    for layout in FORMATS[FORMATS.index(taken) + 1 :]:
        try:
            frames = [frame for sequence in layout.find(tree) for frame in sequence.frames
                      if not known & {frame.picture, frame.depth}]
        except UserError:  # nobody asked for this layout
            continue
        if frames:
            others.append((layout, len(frames)))
            known.update(path for frame in frames for path in frame[1:3])
    return others


def hint(data_dir: pathlib.Path) -> str | None:
    """Says how to convert a folder that training refuses.

    Args:
        data_dir: The value of `--data_dir`.

    Returns:
        A line that names the layout and the command; None if no layout is recognised.
    """
    try:
        layout, _ = recognise(scan(data_dir, most_folders=_GUESS_FOLDERS))
    except UserError:
        return None
    return (f"{data_dir}: has the layout of {layout.title}; run {COMMAND} --input={data_dir} "
            "--output=NEW, and give --data_dir=NEW")


def _why_not(tree: Tree, name: str) -> str:
    found = candidates(tree)
    pictures = [entry for entry in found if entry.picture]
    depths = [entry for entry in found if entry.depth]
    if any(".exr" in entry.depth for entry in depths):
        return "depth as .exr is not read; save it as .npy in metres"
    packed = [name for names in tree.folders.values() for name in names
              if name.lower().endswith(tuple(_PACKED))]
    if packed and not (pictures and depths):
        return f"holds {packed[0]}; {_PACKED[pathlib.PurePath(packed[0]).suffix.lower()]}"
    if name != AUTO:
        layout = FORMATS[NAMES.index(name)]
        return (f"no pair in the layout of {layout.title} ({layout.layout}); give another "
                "--format, or none")
    if pictures and depths:
        return (f"{len(pictures)} pictures and {len(depths)} depth maps, but none with the same "
                "name; call them rgb/NAME.jpg and depth/NAME.png")
    missing = "pictures" if depths else "depth"
    return (f"no {missing} in any known layout; call the files rgb/NAME.jpg and depth/NAME.png, or "
            "see docs/own_data.md")
