"""What is known of Keras 2's layers and activations by their names alone: the one table, without TensorFlow.

The quantizer reads off it what it quantizes of a layer, the inspector what a quantizer would do, the compiler what does
nothing on a card, own_model what it takes out. A layer of your own joins by `register` (docs/extending.md).
"""

from __future__ import annotations

import dataclasses

MODELS = ("Functional", "Model", "Sequential")  # models as layers of a model
DROPOUTS = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
NOISES = ("GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization")
# Random changes to training images (RandomCrop is none of them: it cuts at inference too).
AUGMENTATIONS = tuple(
    f"Random{what}" for what in ("Flip", "Rotation", "Zoom", "Translation", "Contrast", "Brightness", "Height", "Width")
)
IDLE = (*DROPOUTS, *NOISES, *AUGMENTATIONS, "Identity")  # they do nothing outside training
SCALING_LAYERS = ("Rescaling", "Normalization")  # of pixels, before the first layer

# Functions that are quantized before they are computed, in float; the others after.
PRE_ACTIVATIONS = frozenset(
    (
        *("softmax", "elu", "selu", "softplus", "softsign", "swish", "gelu", "tanh", "sigmoid", "exponential"),
        "hard_sigmoid",
    )
)
POST_ACTIVATIONS = frozenset(("linear", "relu", "ReLU", "relu6", "LeakyReLU", "PReLU"))
# The activations that the compiler knows; no other one is quantized, so that nothing fails after training.
ACTIVATIONS = frozenset(
    (
        *("linear", "relu", "relu6", "leaky_relu", "sigmoid", "swish", "silu", "tanh", "softmax", "elu", "gelu"),
        "hard_sigmoid",
    )
)
# The TensorFlow functions on Keras tensors that the compiler knows.
FUNCTIONS = frozenset(
    (
        *("math.add", "__operators__.add", "math.subtract", "__operators__.sub", "math.multiply", "__operators__.mul"),
        *("math.truediv", "math.divide", "__operators__.truediv", "math.maximum", "math.minimum"),
        *("math.sigmoid", "nn.sigmoid", "math.tanh", "nn.tanh", "nn.silu", "nn.swish"),
        *("nn.relu", "nn.relu6", "nn.leaky_relu", "nn.softmax", "nn.elu", "nn.gelu"),
        *("math.reduce_mean", "math.reduce_sum", "math.reduce_max", "linalg.matmul", "reshape", "concat"),
        *("transpose", "compat.v1.transpose", "image.resize", "math.exp"),
        *("compat.v1.image.resize_bilinear", "math.negative", "math.sqrt", "nn.depth_to_space", "nn.space_to_depth"),
    )
)
SIGMOIDS = ("sigmoid", "swish", "silu")  # what becomes the DPU's hard sigmoid
QUANTIZED_FUNCTIONS = ("linalg.matmul", "math.truediv", "__operators__.add")  # of TFOpLambda, at their output
ACTIVATION_LAYERS = ("ReLU", "LeakyReLU", "Activation")  # quantized where another layer takes them in only


@dataclasses.dataclass(frozen=True)
class Quantized:
    """What the quantizer quantizes of a layer.

    Attributes:
        weights, biases: names of its variables.
        activation: whether its result is quantized at its activation (post_activation_pos, pre_activation_pos).
        output: whether its result is quantized as output 0 (output_0_pos).
        takes_in: the activation layers behind it that are quantized because they follow it.
        keeps: whether it is quantized itself even then.
        module: where AMD's tool keeps the class, for its own layers; empty for Keras' layers.
    """

    weights: tuple[str, ...] = ()
    biases: tuple[str, ...] = ()
    activation: bool = False
    output: bool = False
    takes_in: tuple[str, ...] = ()
    keeps: bool = False
    module: str = ""


_JOINED = (*ACTIVATION_LAYERS, "Vitis>VitisSigmoid")
_CONVOLUTION = Quantized(("kernel",), ("bias",), activation=True, takes_in=_JOINED)
_DEPTHWISE = dataclasses.replace(_CONVOLUTION, weights=("depthwise_kernel",))
_OUTPUT = Quantized(output=True)
_SUM = Quantized(output=True, takes_in=("ReLU", "Activation"))
_POOLING = dataclasses.replace(_SUM, keeps=True)
_NORMALIZATION = Quantized(("gamma", "beta"), output=True)


def _of_amd(kind: Quantized, module: str) -> Quantized:
    return dataclasses.replace(kind, module=module)


# By class name as files have it; "Vitis>" marks layers of the quantizer's own.
QUANTIZED = {
    "Conv2D": _CONVOLUTION,
    "DepthwiseConv2D": _DEPTHWISE,
    "Conv2DTranspose": _CONVOLUTION,
    "Dense": _CONVOLUTION,
    "Activation": Quantized(activation=True),
    "ReLU": _OUTPUT,
    "LeakyReLU": _OUTPUT,
    "PReLU": Quantized(("alpha",), output=True),
    "Add": _SUM,
    "BatchNormalization": _NORMALIZATION,
    "LayerNormalization": _NORMALIZATION,
    "MaxPooling2D": _POOLING,
    "AveragePooling2D": _OUTPUT,
    "GlobalAveragePooling2D": _OUTPUT,
    "UpSampling2D": _OUTPUT,
    "Concatenate": _OUTPUT,
    "ZeroPadding2D": Quantized(),
    "Reshape": Quantized(),
    "Permute": Quantized(),
    "Flatten": Quantized(),
    "Multiply": _SUM,
    "Vitis>VitisLayernorm": _of_amd(_NORMALIZATION, "vitis_activation"),
    "Vitis>VitisGlobalAveragePooling2D": _of_amd(_POOLING, "vitis_pooling"),
    "Vitis>AveragePooling2D": _of_amd(_POOLING, "vitis_pooling"),
    "Vitis>VitisSigmoid": _of_amd(_OUTPUT, "vitis_activation"),
    "Vitis>VitisSoftmax": _of_amd(_OUTPUT, "vitis_activation"),
    "Vitis>VitisConvBN": _of_amd(_CONVOLUTION, "vitis_conv_bn"),
    "Vitis>VitisDepthwiseConvBN": _of_amd(_DEPTHWISE, "vitis_conv_bn"),
}
REGISTERED: set[str] = set()  # classes from out of tree: their package brings what computes them
KERNELS = {name: kind.weights[0] for name, kind in QUANTIZED.items() if kind.biases and not kind.module}
CONVOLUTIONS = tuple(KERNELS)  # layers with a kernel and a bias, which activations and normalization join

_NAMES = {name.split(">")[-1] for name in QUANTIZED} - {"LayerNormalization", "VitisLayernorm", "VitisSoftmax"}

# Layers that make what they read in another form, not in another shape.
KEEP_SHAPE = frozenset(
    (
        *("LayerNormalization", "GroupNormalization", "UnitNormalization", "SyncBatchNormalization"),
        *("VitisLayernorm", "VitisSoftmax", "ThresholdedReLU", "Masking"),
    )
)

# Layers whose output shape the compiler works out of their configuration and weights.
SHAPE_FOLLOWS = frozenset(
    (
        *_NAMES,
        *IDLE,
        *SCALING_LAYERS,
        *("InputLayer", "VitisQuantize", "SeparableConv2D", "ELU", "Softmax", "VitisAveragePooling2D"),
        *("GlobalMaxPooling2D", "Cropping2D", "Subtract", "Maximum", "Minimum", "Average"),
        *("TFOpLambda", "SlicingOpLambda", "VitisConvBNQuantize", "VitisDepthwiseConvBNQuantize"),
    )
)


def register(name: str, kind: Quantized) -> None:
    """Let the quantizer quantize a layer class of your own.

    Args:
        name: as Keras files have it, such as "Custom>Scale" for `register_keras_serializable()`.
        kind: what of it is quantized.
    """
    QUANTIZED[name] = kind
    REGISTERED.add(name)


def strip_package(name: str) -> str:
    """Return a class name without the package before it: VitisSigmoid for Vitis>VitisSigmoid."""
    return name.split(">")[-1]


def strip_quantize(name: str) -> str:
    """Return the name of Keras' layer that a layer of the quantizer stands for."""
    return strip_package(name).replace("VitisGlobal", "Global").replace("VitisAverage", "Average")
