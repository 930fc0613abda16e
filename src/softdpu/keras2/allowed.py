"""The classes and functions that a model file may name: Keras 2's own that only compute, and those of the quantizer.

Not here are classes that run code from the file (Lambda, RNN wrappers with a function), call a method by its name
(ClassMethod, InstanceMethod), or read other files (TFSMLayer, StringLookup and other vocabularies, DenseFeatures).
"""

from __future__ import annotations

from softdpu.keras2 import kinds


def _names(text: str) -> set[str]:
    return set(text.split())


def _number(text: str, numbers: str = "1D 2D 3D") -> set[str]:
    return {name + number for name in _names(text) for number in _names(numbers)}


LAYERS = frozenset(
    {
        *kinds.MODELS,
        *kinds.IDLE,
        *kinds.SCALING_LAYERS,
        *_number("Conv Convolution Cropping SpatialDropout UpSampling ZeroPadding ConvLSTM AveragePooling AvgPool"),
        *_number("GlobalAveragePooling GlobalAvgPool GlobalMaxPool GlobalMaxPooling MaxPool MaxPooling"),
        *(name + "Transpose" for name in _number("Conv Convolution")),
        *_number("DepthwiseConv LocallyConnected SeparableConv SeparableConvolution", "1D 2D"),
        *_names("InputLayer Activation Dense EinsumDense Embedding Identity Masking RepeatVector Flatten Reshape"),
        *_names("Add Average Concatenate Dot Maximum Minimum Multiply Subtract Permute"),
        *_names("ELU LeakyReLU PReLU ReLU Softmax ThresholdedReLU"),
        *_names("AdditiveAttention Attention MultiHeadAttention"),
        *_names("BatchNormalization BatchNormalizationV1 BatchNormalizationV2 GroupNormalization LayerNormalization"),
        *_names("SyncBatchNormalization UnitNormalization SpectralNormalization"),
        *_names("CenterCrop Discretization RandomCrop Resizing Bidirectional TimeDistributed"),
        *_names("RNN SimpleRNN SimpleRNNCell GRU GRUCell GRUV2 LSTM LSTMCell LSTMV2 StackedRNNCells"),
        *_names("TFOpLambda SlicingOpLambda"),
    }
)
_INITIALIZERS = _names(
    "Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones"
    " Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros"
)
_OTHERS = _names(
    "L1 L1L2 L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm"
    " Policy PolicyV1 DTypePolicy TensorShape __tuple__ __ellipsis__ __bytes__ __numpy__ __tensor__ __keras_tensor__"
)
# What a model inside a model was compiled with.
_COMPILED = _names(
    "SGD RMSprop Adam AdamW Adamax Adagrad Adadelta Nadam Ftrl Adafactor Lion CategoricalCrossentropy"
    " SparseCategoricalCrossentropy BinaryCrossentropy MeanSquaredError MeanAbsoluteError"
)
CLASSES = LAYERS | _INITIALIZERS | _OTHERS | _COMPILED
# Names of activations, which files also write as functions.
ACTIVATIONS = frozenset(
    {
        *kinds.PRE_ACTIVATIONS,
        *kinds.POST_ACTIVATIONS,
        *_names("mish silu hard_swish hard_silu log_softmax leaky_relu celu glu hard_tanh"),
    }
)
MODULES = ("keras", "tf_keras", "softdpu", "builtins")  # from which an object may come
# Functions of TensorFlow that become a layer (TFOpLambda): namespaces that only compute, and single functions.
_NAMESPACES = ("__operators__.", "math.", "nn.", "linalg.", "bitwise.", "image.")
_FUNCTIONS = _names(
    "abs add argmax argmin broadcast_to cast clip_by_value concat convert_to_tensor cumsum divide equal exp expand_dims"
    " fill floor gather gather_nd greater identity less logical_and logical_not logical_or matmul maximum minimum"
    " multiply negative ones ones_like one_hot pad pow range rank realdiv reduce_max reduce_mean reduce_min reduce_prod"
    " reduce_sum repeat reshape reverse round rsqrt shape sigmoid sign size slice softmax split sqrt square squeeze"
    " stack stop_gradient strided_slice subtract tanh tensordot tile transpose truediv unstack where zeros zeros_like"
    " space_to_depth depth_to_space space_to_batch batch_to_space einsum roll"
)
_PREFIX = "compat.v1."


def is_function(name: object) -> bool:
    """Tell whether a function of TensorFlow, named as in TFOpLambda, only computes."""
    if not isinstance(name, str):
        return False
    short = name[len(_PREFIX) :] if name.startswith(_PREFIX) else name
    return short.startswith(_NAMESPACES) or short in _FUNCTIONS
