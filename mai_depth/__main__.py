"""python -m mai_depth: names the commands."""

COMMANDS = {
    "python -m mai_depth.predict": "depth of pictures, videos and cameras",
    "python -m mai_depth.live": "a camera's depth on a web page, with a tape measure",
    "python -m mai_depth.calibrate": "right metres for your camera, from a measured distance",
    "python -m mai_depth.data.convert": "recordings of your camera as a training folder",
    "python -m mai_depth.data.pack": "a large training folder in a few hundred files",
    "python -m mai_depth.label": "pictures without depth as a training folder",
    "python train.py": "trains a student and its teacher",
    "python export.py": "a trained student as .tflite, SavedModel or ONNX",
    "python -m benchmark": "speed, accuracy and score of .tflite files",
}


def _print_commands() -> None:
    for words, purpose in COMMANDS.items():
        print(f"{words:<34}{purpose}")
    print("Each lists its flags by --help.")


if __name__ == "__main__":
    _print_commands()
