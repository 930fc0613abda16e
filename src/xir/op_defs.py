"""The definitions of op types: their arguments and attributes, with defaults, as in Vitis AI 3.5."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

from xir.attributes import Attr

REQUIRED, OPTIONAL, REPEATED, REQUIRED_AND_REPEATED = range(4)

# type | arguments | attributes
# An argument takes exactly one op, with "?" at most one, with "*" any number, with "+" one or more.
# An attribute is name:kind when required and name:kind=default (JSON) when not.
_TABLE = """
add | input+ |
argmax | input | axis:int32
argmax-fix | input | axis:int32
avgpool2d | input | kernel:int32_vec stride:int32_vec pad_mode:string pad:int32_vec=[0,0,0,0] global:bool=false count_include_pad:bool=true count_include_invalid:bool=true
batchnorm | input gamma beta moving_mean moving_var | axis:int32 epsilon:float
cast | input | data_type:string
celu | input | alpha:float=1.0
concat | input+ | axis:int32
concat-fix | input+ | axis:int32
const | | shape:int32_vec data_type:string data:bytes
const-fix | | shape:int32_vec data_type:string data:bytes
conv1d | input weights bias? | kernel:int32_vec stride:int32_vec dilation:int32_vec=[1] pad_mode:string pad:int32_vec=[0,0]
conv2d | input weights bias? | kernel:int32_vec stride:int32_vec dilation:int32_vec=[1,1] pad_mode:string pad:int32_vec=[0,0,0,0] group:int32=1
conv2d-fix | input weights bias? | kernel:int32_vec stride:int32_vec dilation:int32_vec=[1,1] pad:int32_vec=[0,0,0,0] nonlinear:string="" hsigmoid_in:int32=-128 shift_hsigmoid:int32=-128 shift_hswish:int32=-128 group:int32=1
correlation1d_elemwise | input* | pad_size:int32 shape:int32_vec data_type:string
correlation1d_elemwise-fix | input* | pad_size:int32 shape:int32_vec data_type:string
correlation2d_elemwise | input* | pad_size:int32 shape:int32_vec data_type:string
correlation2d_elemwise-fix | input* | pad_size:int32 shape:int32_vec data_type:string
cost_volume | input* | maxdisp:int32 shape:int32_vec data_type:string
cost_volume-fix | input* | maxdisp:int32 shape:int32_vec data_type:string
data | | shape:int32_vec data_type:string
data-fix | | shape:int32_vec data_type:string
depthwise-fix | input+ | type:string="MUL"
div | input+ |
download | input |
downsample-fix | input size? | mode:string align_corners:bool=false half_pixel_centers:bool=false scale:float_vec
eltwise-fix | input+ | nonlinear:string="NONE" type:string="ADD"
elu | input | alpha:float=1.0
exp | input |
fix | input | fix_point:int32 bit_width:int32 round_mode:string if_signed:bool
fix2float | input | fix_point:int32 bit_width:int32 round_mode:string if_signed:bool
flatten | input | start_axis:int32 end_axis:int32
float2fix | input | fix_point:int32 bit_width:int32 round_mode:string if_signed:bool
gelu | input |
groupnorm | input weight? bias? | num_groups:int32 num_channels:int32 eps:float affine:bool
gstiling | input | reverse:bool stride:int32
hard-sigmoid | input |
hard-sigmoid-fix | input |
hard-softmax | input | axis:int32 type:string
hard-swish | input |
hard-tanh | input |
identity | input |
inner-product | input weights bias? | axis:int32
instancenorm | input weight? bias? | eps:float affine:bool
l2_normalize | input | axis:int32_vec=[] epsilon:double=1e-12
leaky-relu | input | alpha:float
matmul | input+ bias? | transpose_a:bool transpose_b:bool
max | input+ |
maxpool1d | input | kernel:int32_vec stride:int32_vec pad_mode:string pad:int32_vec=[0,0] global:bool=false
maxpool2d | input | kernel:int32_vec stride:int32_vec pad_mode:string pad:int32_vec=[0,0,0,0] global:bool=false
min | input+ |
mish | input |
mul | input+ |
neg | input |
pad | input | paddings:int32_vec mode:string constant_values:float_vec=[]
pad-fix | input | paddings:int32_vec mode:string constant_values:bytes=""
pixel-shuffle | input | scale:int32 upscale:bool
pixel-shuffle-fix | input | scale:int32 reverse:bool
placeholder | input |
pool-fix | input | kernel:int32_vec stride:int32_vec pad:int32_vec=[0,0,0,0] type:string
prelu | input weight |
priorbox | input+ | min_sizes:float_vec max_sizes:float_vec=[] aspect_ratio:float_vec=[] flip:bool clip:bool variance:float_vec step:float_vec offset:float
random_standard_normal | | shape:int32_vec data_type:string seed:int32=0 seed2:int32=0
reduction_max | input | axis:int32_vec keep_dims:bool
reduction_max-fix | input | axis:int32_vec keep_dims:bool
reduction_mean | input | axis:int32_vec keep_dims:bool
reduction_product | input | axis:int32_vec keep_dims:bool
reduction_sum | input | axis:int32_vec keep_dims:bool
relu | input |
relu6 | input |
reorg | input | scale:int32 reverse:bool
reorg-fix | input | scale:int32 reverse:bool
reshape | input shape? | shape:int32_vec=[0]
reshape-fix | input | shape:int32_vec
resize | input size? | mode:string align_corners:bool=false half_pixel_centers:bool=false scale:float_vec=[]
scale | input scale bias? | axis:int32=-1
selu | input |
shape | input |
sigmoid | input |
softmax | input | axis:int32
squeeze | input | axis:int32_vec=[]
stack | input+ | axis:int32
strided_slice | input | begin:int32_vec end:int32_vec strides:int32_vec
strided_slice-fix | input | begin:int32_vec end:int32_vec strides:int32_vec
sub | input+ |
swish | input |
tanh | input |
threshold | input threshold |
tile-fix | input | reverse:bool stride:int32
transpose | input | order:int32_vec
upload | input |
upsample-fix | input size? | mode:string align_corners:bool=false half_pixel_centers:bool=false scale:float_vec
"""  # noqa: E501 - one line an op type

# Families of convolutions that differ in their names only: (kinds, arguments and attributes).
_CONV_FLOAT = (
    "input weights bias? | kernel:int32_vec stride:int32_vec dilation:int32_vec={0} pad_mode:string pad:int32_vec={1}"
)
_CONV_FIX = (
    "input weights bias? | kernel:int32_vec stride:int32_vec dilation:int32_vec={0} pad:int32_vec={1} "
    'nonlinear:string="" hsigmoid_in:int32=-128 shift_hsigmoid:int32=-128 shift_hswish:int32=-128'
)
_CONV_FAMILIES = {
    ("depthwise-conv2d", "transposed-conv2d", "transposed-depthwise-conv2d"): ("[1,1]", "[0,0,0,0]"),
    ("conv3d", "depthwise-conv3d", "transposed-conv3d", "transposed-depthwise-conv3d"): ("[1,1,1]", "[0,0,0,0,0,0]"),
}
# Types that Vitis AI 2.5 does not know yet: its library reads them only if they tell their output by attributes.
_AFTER_2_5 = frozenset(
    {"argmax", "argmax-fix", "cast", "hard-softmax", "maxpool1d", "mish", "reduction_max-fix", "strided_slice-fix"}
)
_OCCURRENCES = {"?": OPTIONAL, "*": REPEATED, "+": REQUIRED_AND_REPEATED}


@dataclass(frozen=True)
class OpDef:
    """What a type of op takes: arguments with how often they occur, attributes with kinds, defaults of the optional."""

    type: str
    args: dict[str, int]
    kinds: dict[str, str]
    defaults: dict[str, Attr]

    @property
    def required(self) -> list[str]:
        """The names of the attributes without a default."""
        return [name for name in self.kinds if name not in self.defaults]


@functools.lru_cache(maxsize=None)
def op_defs() -> dict[str, OpDef]:
    """Return every definition by op type."""
    lines = [line.split("|", 1) for line in _TABLE.strip().splitlines()]
    for types, (dilation, pad) in _CONV_FAMILIES.items():
        lines += [[name, _CONV_FLOAT.format(dilation, pad)] for name in types]
        lines += [[name + "-fix", _CONV_FIX.format(dilation, pad)] for name in types]
    return {name.strip(): _parse(name.strip(), rest) for name, rest in lines}


@functools.lru_cache(maxsize=1024)
def op_def(type: str) -> OpDef:
    """Return the definition of an op type; an unknown one takes any inputs and must tell its shape and data type."""
    known = op_defs().get(type)
    return known or _parse(type, "input* | shape:int32_vec data_type:string")


def is_new(type: str) -> bool:
    """Tell whether the op type is unknown to Vitis AI 2.5, whose library yet reads it if it tells its output."""
    return type in _AFTER_2_5


def _parse(type: str, rest: str) -> OpDef:
    args_text, attrs_text = rest.split("|")
    args = {arg.rstrip("?*+"): _OCCURRENCES.get(arg[-1], REQUIRED) for arg in args_text.split()}
    kinds: dict[str, str] = {}
    defaults: dict[str, Attr] = {}
    for text in attrs_text.split():
        name, _, kind_and_default = text.partition(":")
        kind, has_default, default = kind_and_default.partition("=")
        kinds[name] = kind
        if has_default:
            value = json.loads(default)
            defaults[name] = Attr(kind, value.encode() if kind == "bytes" else value)
    return OpDef(type, args, kinds, defaults)
