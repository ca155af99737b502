"""The sheet that shows photographs beside several networks' depth."""

import numpy as np
from PIL import Image

from benchmark.study.photo_sheet import photo_row
from benchmark.study.photo_sheet import photo_sheet
from mai_depth.predict.camera_picture import from_array


def test_a_row_has_one_range_of_colours_for_all_networks():
    """The second network sees all three times as far, and is drawn colder."""
    photo = from_array(np.full((48, 64, 3), 7, np.uint8))
    ramp = np.broadcast_to(np.linspace(1, 2, 240, dtype=np.float32), (180, 240))
    row = np.asarray(photo_row(photo, [ramp, 3 * ramp]))
    assert row.shape == (180, 720, 3) and (row[:, :240] == 7).all()
    near, far = row[10, 300].astype(int), row[10, 600].astype(int)
    assert near[0] > near[2] and far[2] > far[0]  # warm is near


def test_rows_lie_beside_and_below_each_other():
    colors = ("red", "green", "blue")
    rows = [Image.new("RGB", (720, 180), color) for color in colors]
    sheet = photo_sheet(rows, ["photo", "a", "b"], 2)
    assert sheet.size == (1440, 18 + 360)
    found = [sheet.getpixel(place) for place in ((5, 30), (725, 30), (5, 210), (725, 210))]
    assert found == [(255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)]
    assert photo_sheet(rows[:1], ["photo", "a", "b"], 2).size == (720, 198)
