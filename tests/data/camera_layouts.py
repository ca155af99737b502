"""Tiny folders in the layouts of other cameras, each with the same scene.

The scene is 16 gray levels and 16 depths in columns, so that every pixel of the result can be told:
column k of 16 is (k + 1) * 250 mm deep, and the top left ninth has no depth.
"""

import json
import pathlib

import lzfse
import numpy as np
from PIL import Image

COUNT = 6  # pairs of a sequence
COLUMNS = 16


def depth_mm(width=64, height=48):
    """uint16 [height, width]."""
    depth = np.tile(((np.arange(width) * COLUMNS // width) + 1) * 250, (height, 1))
    depth[: height // 3, : width // 3] = 0
    return depth.astype(np.uint16)


def photo(number=0, width=64, height=48):
    """uint8 [height, width, 3], brighter from left to right, another one for each number."""
    gray = np.tile(np.arange(width) * COLUMNS // width * 12 + 40, (height, 1))
    return np.stack([gray, gray, np.full_like(gray, 20 * (number % COUNT))], -1).astype(np.uint8)


def save(path, array):
    """Saves a picture or an array by the suffix of its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, depth=array)
    elif path.suffix == ".jpg":
        Image.fromarray(array).save(path, quality=95, subsampling=0)
    else:
        Image.fromarray(array).save(path)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def tum(folder):
    place = folder / "rgbd_dataset_freiburg1_desk"
    lists = {"rgb": ["# color images"], "depth": ["# depth maps"]}
    for number in range(COUNT):
        for kind, array, late in (("rgb", photo(number), 0.0), ("depth", depth_mm() * 5, 0.0093)):
            stamp = f"{1305031102.1 + number / 30 + late:.6f}"
            save(place / kind / f"{stamp}.png", array)
            lists[kind].append(f"{stamp} {kind}/{stamp}.png")
    lists["rgb"].append("1305031110.5 rgb/1305031110.500000.png")  # long after the last depth
    for kind, lines in lists.items():
        write(place / f"{kind}.txt", "\n".join(lines) + "\n")


def icl_nuim(folder):
    """One list of pairs, the depth first."""
    place = folder / "living_room_traj2_frei_png"
    for number in range(COUNT):
        save(place / "rgb" / f"{number}.png", photo(number))
        save(place / "depth" / f"{number}.png", depth_mm() * 5)
    write(place / "associations.txt", "".join(
        f"{number} depth/{number}.png {number} rgb/{number}.png\n" for number in range(COUNT)))


def stray_scanner(folder):
    place = folder / "71de12f9"
    confidence = np.full((48, 64), 2, np.uint8)
    confidence[-8:] = [0] * 32 + [1] * 32
    for number in range(COUNT):
        save(place / "rgb" / f"{number:06}.jpg", photo(number, 480, 360))
        save(place / "depth" / f"{number:06}.png", depth_mm())
        save(place / "confidence" / f"{number:06}.png", confidence)
    write(place / "camera_matrix.csv", "400.0, 0.0, 241.5\n0.0, 400.0, 179.0\n0.0, 0.0, 1.0\n")


def record3d(folder):
    """An iPhone held upright, see `portrait`."""
    place = folder / "2026-11-28--10-00-00" / "rgbd"
    confidence = np.full((48, 64), 2, np.uint8)
    confidence[-8:] = [0] * 32 + [1] * 32
    for number in range(COUNT):
        save(place / f"{number}.jpg", np.rot90(photo(number, 480, 360), -1))
        depth_m = np.where(depth_mm(), depth_mm() / 1000, np.nan).astype(np.float32)
        for suffix, array in ((".depth", depth_m), (".conf", confidence)):
            upright = np.ascontiguousarray(np.rot90(array, -1))
            (place / f"{number}{suffix}").write_bytes(lzfse.compress(upright.tobytes()))
    write(place.parent / "metadata", json.dumps(
        {"w": 360, "h": 480, "dw": 48, "dh": 64, "K": [400, 0, 0, 0, 400, 0, 180, 240, 1]}))


def scannet(folder):
    place = folder / "scene0000_00"
    for number in range(COUNT + 6):  # frame 10 comes after frame 9
        save(place / "color" / f"{number}.jpg", photo(number, 1296, 968))
        save(place / "depth" / f"{number}.png", depth_mm(640, 480))
    write(place / "intrinsic" / "intrinsic_color.txt",
          "1170.0 0 647.75 0\n0 1170.0 483.75 0\n0 0 1 0\n0 0 0 1\n")


def seven_scenes(folder):
    for sequence in ("seq-01", "seq-02"):
        for number in range(COUNT):
            depth = depth_mm()
            depth[depth == 0] = 65535
            save(folder / sequence / f"frame-{number:06}.color.png", photo(number))
            save(folder / sequence / f"frame-{number:06}.depth.png", depth)
            write(folder / sequence / f"frame-{number:06}.pose.txt", "1 0 0 0\n")


def realsense(folder):
    for number in range(COUNT):
        save(folder / f"desk_Color_{number:04}.png", photo(number))
        save(folder / f"desk_Depth_{number:04}.png", depth_mm())


def kitti(folder):
    drive = "2011_09_26_drive_0001_sync"
    for number in range(5, 5 + COUNT):
        depth = np.zeros((375, 1242), np.uint16)
        depth[::5, ::5] = 20 * 256 + 128
        save(folder / "train" / drive / "proj_depth" / "groundtruth" / "image_02"
             / f"{number:010}.png", depth)
    for number in range(COUNT + 8):
        save(folder / "2011_09_26" / drive / "image_02" / "data" / f"{number:010}.png",
             photo(number, 1242, 375))
    write(folder / "2011_09_26" / "calib_cam_to_cam.txt",
          "calib_time: 09-Jan-2012 13:57:47\nP_rect_02: 7.215377e+02 0 6.095593e+02 4.485728e+01 "
          "0 7.215377e+02 1.728540e+02 2.163791e-01 0 0 1 2.745884e-03\n")


def diode(folder):
    for split, scan in (("train", "scan_00001"), ("val", "scan_00002")):
        for number in range(COUNT):
            place = folder / split / "indoors" / "scene_00000" / scan
            name = f"00000_00001_indoors_300_{number:03}"
            depth = depth_mm(1024, 768).astype(np.float32)[..., None] / 1000
            mask = (depth[..., 0] > 0).astype(np.float64)
            depth[depth == 0] = 3.5  # the mask says that it means nothing
            save(place / f"{name}.png", photo(number, 1024, 768))
            save(place / f"{name}_depth.npy", depth)
            save(place / f"{name}_depth_mask.npy", mask)


def npy(folder):
    for number in range(COUNT):
        depth = depth_mm().astype(np.float32) / 1000
        depth[depth == 0] = (np.nan, np.inf, -1.0)[number % 3]
        save(folder / "images" / f"{number:03}.jpg", photo(number))
        save(folder / "depth" / f"{number:03}.npy", depth)


def npz(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(COUNT):
        np.savez_compressed(folder / f"{number:03}.npz", rgb=photo(number), depth=depth_mm())


def tiff(folder):
    for number in range(COUNT):
        save(folder / "rgb" / f"{number:03}.png", photo(number))
        save(folder / "depth" / f"{number:03}.tiff", depth_mm().astype(np.float32) / 1000)


def nested(folder):
    for room in ("kitchen", "office/morning", "office/evening"):
        for number in range(COUNT):
            save(folder / "home" / room / "rgb" / f"{number:03}.png", photo(number))
            save(folder / "home" / room / "depth" / f"{number:03}.png", depth_mm())


def wide(folder):
    """16:9, as most cameras have it; the middle 64x48 are the scene."""
    for number in range(COUNT):
        rgb, depth = np.zeros((48, 86, 3), np.uint8), np.full((48, 86), 9000, np.uint16)
        rgb[:, 11:75], depth[:, 11:75] = photo(number), depth_mm()
        save(folder / "rgb" / f"{number:03}.png", rgb)
        save(folder / "depth" / f"{number:03}.png", depth)
    write(folder / "camera_intrinsic.json", json.dumps(
        {"width": 86, "height": 48, "intrinsic_matrix": [60, 0, 0, 0, 60, 0, 43, 24, 1]}))


def portrait(folder):
    """A phone held upright: turned by 90 degrees counter-clockwise it is the scene."""
    for number in range(COUNT):
        save(folder / "rgb" / f"{number:03}.png", np.rot90(photo(number), -1))
        save(folder / "depth" / f"{number:03}.png", np.rot90(depth_mm(), -1))


def challenge(folder, suffix="png", size=(64, 48), depth_size=None):
    """The layout of the MAI 2021 challenge, which train.py reads as it is."""
    for split in ("train", "validation"):
        for number in range(COUNT):
            save(folder / split / "rgb" / f"{number:04}.{suffix}", photo(number, *size))
            save(folder / split / "depth" / f"{number:04}.png", depth_mm(*(depth_size or size)))


def challenge_jpeg(folder):
    challenge(folder, "jpg")


def challenge_large(folder):
    challenge(folder, size=(1280, 960))


def challenge_small_depth(folder):
    challenge(folder, size=(128, 96), depth_size=(64, 48))


LAYOUTS = {  # layout -> (what is recognised, what makes it)
    "tum": ("tum", tum),
    "icl_nuim": ("tum", icl_nuim),
    "stray_scanner": ("stray_scanner", stray_scanner),
    "record3d": ("record3d", record3d),
    "scannet": ("scannet", scannet),
    "seven_scenes": ("seven_scenes", seven_scenes),
    "realsense": ("realsense", realsense),
    "kitti": ("kitti", kitti),
    "diode": ("diode", diode),
    "npy": ("npy", npy),
    "npz": ("npz", npz),
    "tiff": ("tiff", tiff),
    "nested": ("png", nested),
    "wide": ("png", wide),
    "portrait": ("png", portrait),
    "challenge": ("png", challenge),
    "challenge_jpeg": ("png", challenge_jpeg),
    "challenge_large": ("png", challenge_large),
    "challenge_small_depth": ("png", challenge_small_depth),
}
REFUSED_BY_TRAINING = tuple(LAYOUTS)[:14]


def make(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Makes the folder of a layout and returns it."""
    LAYOUTS[name][1](folder)
    return folder
