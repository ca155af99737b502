"""What the description of a model may name: pure layers, and nothing that runs or reads files."""

import importlib
import os
from collections.abc import Iterator
from typing import Any

import keras

from mai_depth.errors import UserError

_ACTIVATIONS = """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu
    linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus
    softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold"""
_FUNCTIONS = {"builtins": _ACTIVATIONS, "keras.activations": _ACTIVATIONS}  # by Keras' two words

# Classes by the module that Keras writes beside their names. Left out are those that run code or
# take functions, read files, or work on words; the rest of `keras` would resolve, too.
_STOCK = {
    "keras": "DTypePolicy FloatDTypePolicy Sequential",
    "keras.src.models.functional": "Functional",
    "keras.dtype_policies": "DTypePolicyMap QuantizedDTypePolicy QuantizedFloat8DTypePolicy",
    "keras.constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm",
    "keras.initializers": """
        Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform
        Ones Orthogonal RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros""",
    "keras.regularizers": "L1 L1L2 L2 OrthogonalRegularizer",
    "keras.layers": """
        Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D
        AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add
        AdditiveAttention AlphaDropout Attention Average AveragePooling1D AveragePooling2D
        AveragePooling3D BatchNormalization Bidirectional CenterCrop Concatenate Conv1D
        Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D
        ConvLSTM3D Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot
        Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise
        GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
        GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention Identity
        InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D
        MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute
        RMSNormalization RNN RandomBrightness RandomColorJitter RandomContrast RandomCrop
        RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomRotation RandomSaturation
        RandomShear RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape Resizing
        SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D
        SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells Subtract
        TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
        ZeroPadding2D ZeroPadding3D""",
    "keras.src.applications.convnext": "LayerScale StochasticDepth",
    "keras.src.applications.inception_resnet_v2": "CustomScaleLayer",
    "keras.src.ops.core": "Cast ConvertToTensor SaturateCast Slice StopGradient Unstack",
    "keras.src.ops.einops": "Rearrange",
    "keras.src.ops.image": """
        AffineTransform CropImages ExtractPatches GaussianBlur HSVToRGB MapCoordinates PadImages
        PerspectiveTransform RGBToGrayscale RGBToHSV Resize ScaleAndTranslate SobelEdges""",
    "keras.src.ops.linalg": "Det Inv Norm Solve SolveTriangular",
    "keras.src.ops.math": "Erf Erfc Erfinv Logsumexp Rsqrt SegmentMax SegmentSum TopK",
    "keras.src.ops.nn": """
        AdaptiveAveragePool AdaptiveMaxPool AveragePool BatchNorm Celu Conv ConvTranspose
        DepthToSpace DepthwiseConv DotProductAttention Elu Fold Gelu Glu HardShrink HardSigmoid
        HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax MaxPool Moments Normalize OneHot
        RMSNorm Relu Relu6 Selu SeparableConv Sigmoid Silu SoftShrink Softmax Softplus Softsign
        SpaceToDepth SparsePlus SparseSigmoid Sparsemax Squareplus TanhShrink Threshold Unfold""",
    "keras.src.ops.numpy": """
        Abs Absolute Add All Amax Amin Any Append Arange Arccos Arcsin Arctan Arctan2 Arctanh Argmax
        Argmin Argsort Average BroadcastTo Cbrt Ceil Clip Concatenate Copy Cos Cosh CountNonzero
        Cross Cumprod Cumsum Deg2rad Diagonal Diff Digitize Divide DivideNoNan Dot Einsum Equal Exp
        Exp2 ExpandDims Expm1 Flip Floor FloorDivide Full FullLike GetItem Greater GreaterEqual
        Hstack Hypot Isfinite Isinf Isnan Less LessEqual Linspace Log Log10 Log1p Log2 Logaddexp
        LogicalAnd LogicalNot LogicalOr LogicalXor Matmul Max Maximum Mean Median Meshgrid Min
        Minimum Mod Moveaxis Multiply NanToNum Negative NotEqual OnesLike Outer Pad Power Prod
        Quantile Rad2deg Ravel Reciprocal Repeat Reshape Roll Rot90 Round Select Sign Sin Sinh Sort
        Split Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh
        Tensordot Tile Transpose Tril Triu TrueDivide Trunc Var Vstack Where ZerosLike""",
}
# What a teacher may name besides: the transformers of `vit.py` and the depth networks of keras-hub.
_PACKAGES = {
    "keras_cv.src.layers.vit_det_layers": """
        AddPositionalEmbedding AddRelativePositionalEmbedding MLP MultiHeadAttentionWithRelativePE
        ViTDetPatchingAndEmbedding WindowPartitioning WindowedTransformerEncoder""",
    "keras_cv.src.models.backbones.vit_det.vit_det_backbone": "ViTDetBackbone",
    "keras_hub.src.models.depth_anything.depth_anything_backbone": "DepthAnythingBackbone",
    "keras_hub.src.models.depth_anything.depth_anything_layers": """
        DepthAnythingDepthEstimationHead DepthAnythingFeatureFusionLayer DepthAnythingNeck
        DepthAnythingPreActResidualLayer DepthAnythingReassembleLayer DepthAnythingTokenToImage""",
    "keras_hub.src.models.dinov2.dinov2_backbone": "DINOV2Backbone",
    "keras_hub.src.models.dinov2.dinov2_layers": """
        DINOV2Attention DINOV2Embedding DINOV2Encoder DINOV2Layer DINOV2LayerScale DINOV2MLP
        DINOV2PatchEmbedding""",
    "keras_hub.src.models.vit.vit_backbone": "ViTBackbone",
    "keras_hub.src.models.vit.vit_layers": """
        MLP ViTEncoder ViTEncoderBlock ViTPatchingAndEmbedding""",
}
_SPECIALS = frozenset({  # values, which Keras writes without a module
    "__keras_tensor__", "__tensor__", "__numpy__", "__ellipsis__", "__slice__", "__bytes__"
})
# Refused like all that is not listed, but with the reason.
_RUN_OR_READ = frozenset({
    "__lambda__", "Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper",
    "StringLookup", "IntegerLookup", "TextVectorization",
})


def _pairs(table: dict[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((module, name) for module, names in table.items() for name in names.split())


STOCK_CLASSES = _pairs(_STOCK)
PACKAGE_CLASSES = _pairs(_PACKAGES)
FUNCTIONS = _pairs(_FUNCTIONS)


def check_config(config: Any, path: str | os.PathLike, packages: tuple[str, ...] = ()) -> None:
    """Refuses a model that names anything but the listed classes and activations.

    Keras' safe mode alone does not do: it calls any function of Keras by name, and some of those
    write files or fetch them.

    Args:
        config: The content of a `config.json`.
        path: The model's file, for the message.
        packages: Packages whose listed classes may be named, too: `keras_cv`, `keras_hub`.
            Those that are named are imported.

    Raises:
        UserError: A name is not listed, or a package is not installed.
    """
    if isinstance(config, dict):  # Keras drops the settings of the outermost `compile`, too
        config = {key: value for key, value in config.items() if key != "compile_config"}
    named = [node for node in _nodes(config) if isinstance(node, dict)]
    for node in named:
        _check_node(node, path, packages)
    modules = {str(node.get("module")).partition(".")[0] for node in named}
    for package in modules.intersection(packages):  # from now on Keras knows its classes
        _import(package, path)
    for name in _nodes(config):
        if isinstance(name, str) and keras.saving.get_registered_object(name):
            raise _refusal(path, name)


def _nodes(config: Any) -> Iterator[dict | str]:
    """Every place of a config that names a class or function, or could: `package>name`."""
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            stack.extend(value[key] for key in value if key != "registered_name")
        elif isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, str) and ">" in value:
            yield value


def _check_node(node: dict, path: str | os.PathLike, packages: tuple[str, ...]) -> None:
    name, module = str(node["class_name"]), str(node.get("module"))
    if "module" not in node and name in _SPECIALS:
        return
    if name.rpartition(".")[2] in _RUN_OR_READ:
        raise UserError(f"{path}: holds a {_shown(name)}, which can run code or read files; not "
                        "loaded")
    package = module.partition(".")[0]
    shown = f"{module}.{name}"
    if name == "function":
        name, listed = str(node.get("config")), FUNCTIONS
        shown = f"{shown} {name}"
    else:
        listed = STOCK_CLASSES | PACKAGE_CLASSES if package in packages else STOCK_CLASSES
    if (module, name) not in listed:
        raise _refusal(path, shown)
    # Keras prefers the registered name to the others, so it must be the same: `name`,
    # or in other packages `package>name`. Of a function Keras writes "function".
    registered = str(node.get("registered_name") or name)
    origin, _, last = registered.rpartition(">")
    if last not in (name, node["class_name"]) or (
            origin and (package not in packages or origin.partition(".")[0] != package)):
        raise _refusal(path, registered)


def _import(package: str, path: str | os.PathLike) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise UserError(f"{path}: needs {package}, which cannot be imported ({error}); pip install "
                        f"{package.replace('_', '-')}") from error


def _refusal(path: str | os.PathLike, name: str) -> UserError:
    return UserError(f"{path}: names {_shown(name)}, which is no stock Keras layer; not loaded")


def _shown(name: str) -> str:
    """In one line, whatever the file holds."""
    return ascii(name)[1:-1][:100]
