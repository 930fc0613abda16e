"""What a DPU can do: for one integer operation, why it cannot run there and what to change."""

from __future__ import annotations

from softdpu.compiler.op_graph import Op
from softdpu.compiler.registry import CHECKS, check
from softdpu.numbers.boards import Dpu

_ADVICE_RELU = "use ReLU, ReLU(max_value=6) or LeakyReLU(alpha=0.1), which the DPU fuses into the layer before"
ADVICE = {
    "softmax": "softmax runs on the CPU: end the model with logits, or leave it where it is",
    "sigmoid": "the exact sigmoid runs on the CPU: quantize it, which makes it the DPU's hard sigmoid",
    "tanh": f"tanh runs on the CPU: {_ADVICE_RELU}",
    "elu": f"ELU runs on the CPU: {_ADVICE_RELU}",
    "gelu": f"GELU runs on the CPU: {_ADVICE_RELU}",
    "prelu": f"PReLU runs on the CPU: {_ADVICE_RELU}",
    "sub": "Subtract runs on the CPU: use Add with a negated convolution before it",
    "Functional": "a model inside the model: build it flat, from the layers' outputs",
    "Sequential": "a model inside the model: build it flat, from the layers' outputs",
    "div": "division runs on the CPU: multiply by a constant folded into a convolution",
    "min": "Minimum runs on the CPU: use ReLU(max_value=6)",
    "max": "Maximum runs on the CPU: use ReLU or max pooling",
    "strided_slice": "cropping of float numbers runs on the CPU: leave it out, or pad less before it",
    "transpose": "Permute runs on the CPU: keep the order height, width, channels",
}

_NONLINEAR = {"RELU": "relu", "RELU6": "relu6", "LEAKYRELU": "leakyrelu", "HSIGMOID": "hsigmoid", "HSWISH": "hswish"}
MAX_CHANNEL_GROUPS = 256  # channels end at 256 times the channel parallelism
_MAX_PAD_BEFORE, _MAX_PAD_AFTER = 15, 255


def why_not(op: Op, dpu: Dpu) -> str:
    """Return why `op`, an integer operation, cannot run on `dpu` and what to change; empty if it can."""
    find_problem = CHECKS.get(op.kind)
    if find_problem is None:
        return ADVICE.get(op.kind, f"{op.kind} is no operation of the DPU")
    return find_problem(op, dpu)


def conv_fits(dpu: Dpu, height: int, width: int, channels: int, outputs: int, dilation: int = 1) -> bool:
    """Whether a convolution of this kernel and these channels, with stride 1, is within the limits of `dpu`."""
    return not _conv_size(dpu, height, width, channels, outputs, dilation)


def _conv_size(dpu: Dpu, height: int, width: int, channels: int, outputs: int, dilation: int = 1) -> str:
    kernels = dpu.limits["conv"].kernel
    if height not in kernels or width not in kernels:
        return f"kernel {height}x{width}: {dpu.name} takes {_span(kernels)} a side; use smaller kernels in sequence"
    words = height * width * -(-channels // dpu.input_channel)
    if words > dpu.bank_depth:
        return (
            f"kernel {height}x{width} over {channels} channels needs {words} words of a bank of {dpu.bank_depth}: "
            "use a smaller kernel or fewer input channels"
        )
    if outputs > MAX_CHANNEL_GROUPS * dpu.output_channel:
        return f"{outputs} output channels: {dpu.name} takes {MAX_CHANNEL_GROUPS * dpu.output_channel}; split the layer"
    if dilation * channels > MAX_CHANNEL_GROUPS * dpu.input_channel:
        return (
            f"{channels} input channels with dilation {dilation}: {dpu.name} takes a product of "
            f"{MAX_CHANNEL_GROUPS * dpu.input_channel}; use fewer channels or less dilation"
        )
    return ""


@check("conv2d-fix")
def _convolution(op: Op, dpu: Dpu) -> str:
    outputs, height, width, channels = op.inputs["weights"][0].shape
    return (
        _conv_size(dpu, height, width, channels, outputs, max(op.attrs["dilation"]))
        or _strides(op, dpu, "conv")
        or _pads(op)
        or _group(op)
        or _activation(op, dpu.conv, dpu)
    )


@check("depthwise-conv2d-fix")
def _depthwise(op: Op, dpu: Dpu) -> str:
    if "dwconv" not in dpu.limits:
        return f"{dpu.name} has no engine for depthwise convolution: use Conv2D"
    multiplier, height, width, channels = op.inputs["weights"][0].shape
    if multiplier != 1:
        return f"depth_multiplier {multiplier}: the DPU has 1; use Conv2D"
    kernels = dpu.limits["dwconv"].kernel
    if height not in kernels or width not in kernels:
        return f"depthwise kernel {height}x{width}: {dpu.name} takes {_span(kernels)} a side; use a smaller kernel"
    if channels > MAX_CHANNEL_GROUPS * dpu.input_channel:
        return f"{channels} channels: {dpu.name} takes {MAX_CHANNEL_GROUPS * dpu.input_channel}; split the layer"
    return _strides(op, dpu, "dwconv") or _pads(op) or _activation(op, dpu.dwconv, dpu)


@check("transposed-conv2d-fix")
def _transposed(op: Op, dpu: Dpu) -> str:
    """The DPU runs it as stride x stride convolutions of kernel / stride."""
    outputs, height, width, channels = op.inputs["weights"][0].shape
    across, down = op.attrs["stride"]
    if min(op.attrs["pad"]) < 0:
        return f"stride {down}x{across} above kernel {height}x{width}: use a kernel of at least the stride"
    kernel = -(-height // down), -(-width // across)
    return _conv_size(dpu, *kernel, channels, outputs) or _activation(op, dpu.conv, dpu)


@check("pool-fix")
def _pooling(op: Op, dpu: Dpu) -> str:
    kind = {"MAX": "max", "AVG": "avg"}[op.attrs["type"]]
    if kind not in dpu.limits:
        return f"{dpu.name} has no {kind} pooling: use a strided convolution"
    width, height = op.attrs["kernel"]
    kernels = dpu.limits[kind].kernel
    if height not in kernels or width not in kernels:
        return f"{kind} pooling over {height}x{width}: {dpu.name} takes {_span(kernels)} a side; pool in two steps"
    return _strides(op, dpu, kind) or _pads(op)


@check("eltwise-fix")
def _elementwise(op: Op, dpu: Dpu) -> str:
    kind = {"ADD": "add", "MUL": "mult"}[op.attrs["type"]]
    if kind not in dpu.eltwise:
        return f"{dpu.name} has no engine for Multiply: leave it out or choose another DPU"
    if len({producer.shape for producer in op.inputs["input"]}) > 1:
        return "operands of different shapes: the DPU does not broadcast; bring them to one shape"
    if len(op.shape) not in (2, 4):
        return f"operands of {len(op.shape)} dimensions: the DPU has images; reshape them"
    return _activation(op, dpu.eltwise_relu, dpu)


@check("depthwise-fix")
def _by_channel(op: Op, dpu: Dpu) -> str:
    kind = {"ADD": "add", "MUL": "mult"}[op.attrs["type"]]
    if kind not in dpu.eltwise or "dwconv" not in dpu.limits:
        return f"{dpu.name} has no engine for {kind} by channel: choose another DPU, or leave the layer out"
    return ""


@check("hard-sigmoid-fix")
def _hard_sigmoid(op: Op, dpu: Dpu) -> str:
    return "" if "hsigmoid" in dpu.other else f"{dpu.name} has no hard sigmoid: {_ADVICE_RELU}"


@check("upsample-fix", "concat-fix", "reshape-fix", "pad-fix")
def _moves(op: Op, dpu: Dpu) -> str:
    return ""


def _activation(op: Op, known: frozenset[str], dpu: Dpu) -> str:
    kind = op.attrs.get("nonlinear") or "NONE"
    if kind == "NONE" or _NONLINEAR.get(kind) in known:
        return ""
    names = ", ".join(sorted(known)) or "none"
    return f"activation {_NONLINEAR.get(kind, kind)} after {op.kind.removesuffix('-fix')}: {dpu.name} has {names} there"


def _strides(op: Op, dpu: Dpu, engine: str) -> str:
    across, down = op.attrs["stride"]
    strides = dpu.limits[engine].stride
    if across in strides and down in strides:
        return ""
    return f"stride {down}x{across}: {dpu.name} takes {_span(strides)}; use smaller strides in sequence"


def pad_fits(pad: list[int]) -> bool:
    """Whether a window of the DPU can have the padding {left, right, top, bottom}."""
    left, right, top, bottom = pad
    return max(left, top) <= _MAX_PAD_BEFORE and max(right, bottom) <= _MAX_PAD_AFTER


def _pads(op: Op) -> str:
    left, right, top, bottom = op.attrs["pad"]
    if pad_fits([left, right, top, bottom]):
        return ""
    return f"padding {top}+{bottom} rows, {left}+{right} columns: the DPU takes 15 before and 255 after; pad less"


def _group(op: Op) -> str:
    group = op.attrs.get("group", 1)
    return f"{group} groups: the DPU has none; use DepthwiseConv2D or Conv2D without groups" if group != 1 else ""


def _span(numbers: tuple[int, ...]) -> str:
    whole = numbers == tuple(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if whole and len(numbers) > 1 else ", ".join(map(str, numbers))
