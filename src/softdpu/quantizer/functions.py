"""TensorFlow functions called on Keras tensors, and Lambda layers of them: they become the layers that they are.

A Lambda is traced, so that what it does stands in the graph. What has no layer (tf.split, x[:, 0]) becomes
slices and reshapes. Functions that AMD's quantizer leaves as they are, such as tf.nn.relu, stay.
"""

from __future__ import annotations

from typing import Any, Callable  # noqa: UP035 - not generic in collections.abc before Python 3.9

from softdpu.keras2.api import keras, tf
from softdpu.quantizer import batch_axis, legacy
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.float_transforms import new_node
from softdpu.quantizer.keras_graph import Graph, Node, _map_refs, from_model

_KINDS = ("TFOpLambda", "SlicingOpLambda")
_IDENTITIES = ("identity", "stop_gradient", "cast")
Shape = tuple  # of one tensor, None for what is not known


def convert(graph: Graph, lambdas: dict[str, Any], custom_objects: dict[str, Any]) -> None:
    """Turn functions into layers, in place.

    Args:
        lambdas: the model's Lambda layers by name; one made from its configuration has lost what its code refers to.

    Raises:
        QuantizerError: for a use of a function that no layer has; the text names the layer to use instead.
    """
    if "Lambda" not in custom_objects:
        for node in graph.candidates():
            if node.class_name == "Lambda":
                _trace(graph, node, lambdas, _shapes(graph, custom_objects))
    nodes = [node for node in graph.candidates() if node.class_name in _KINDS]
    shapes = _shapes(graph, custom_objects) if nodes else {}
    for node in nodes:
        if not node.refs():
            continue
        if node.class_name == "SlicingOpLambda":
            _index(graph, node, shapes)
        else:
            batch_axis.check_function(node, [_shape(ref, shapes) for ref in node.refs()], _arguments(node))
            make = FUNCTIONS.get(node.config["function"].replace("compat.v1.", ""))
            if make is not None:
                make(graph, node, shapes)
        for name in graph.nodes:  # of several layers for one function, others read the last
            shapes.setdefault(name, shapes[node.name])


def _shapes(graph: Graph, custom_objects: dict[str, Any]) -> dict[str, Any]:
    """Return the output shapes of all layers by name, a list of them for a layer with several tensors."""
    found = {node.name: node.output_shape for node in graph}
    # Where augmentation left sizes open, which it does no longer.
    if all(shape and (isinstance(shape, list) or None not in shape[1:]) for shape in found.values()):
        return found
    for layer in graph.to_model(custom_objects).layers:
        shape = layer.output_shape
        found[layer.name] = shape[0] if isinstance(shape, list) and len(shape) == 1 else shape
    return found


def _shape(ref: list[Any], shapes: dict[str, Any]) -> Shape:
    shape = shapes[ref[0]]
    return tuple(shape[ref[2]]) if isinstance(shape, list) else tuple(shape)


def _trace(graph: Graph, node: Node, lambdas: dict[str, Any], shapes: dict[str, Any]) -> None:
    """Put what a Lambda of one tensor does in its place."""
    refs = node.refs()
    layer = lambdas.get(node.name) or legacy.deserialize_layer(node.entry())
    inputs = [keras.Input(batch_shape=_shape(ref, shapes)) for ref in refs]
    try:
        output = layer.function(inputs[0] if len(inputs) == 1 else inputs, **layer.arguments)
        inner = from_model(keras.Model(inputs, output))
        (result,) = _take_single(inner.output_refs)
    except Exception as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise QuantizerError(
            f"layer {node.name}: what this Lambda does cannot be read off ({why[:120]}); use Keras layers, or pass "
            "custom_objects={'Lambda': Lambda}, which makes it an operation of its own that the app computes"
        ) from None
    heads = {tensor.node.layer.name: ref for tensor, ref in zip(inputs, refs)}  # noqa: B905
    parts = [part for part in inner if part.name not in heads]
    names = {part.name: node.name if part.name == result[0] else f"{node.name}_{part.name}" for part in parts}
    names = {old: new if new == node.name else graph.unique_name(new) for old, new in names.items()}

    def moved(ref: list[Any]) -> list[Any]:
        return list(heads[ref[0]][:3]) if ref[0] in heads else [names[ref[0]], *ref[1:]]

    end = moved(result)
    for part in parts:
        part.name, part.inbound = names[part.name], _map_refs(part.inbound, moved)
    items = []
    for name, other in graph.nodes.items():
        items += [(part.name, part) for part in parts] if name == node.name else [(name, other)]
    graph.nodes = dict(items)
    new = {part.name for part in parts}

    def read(ref: list[Any]) -> list[Any]:
        return end if ref[0] == node.name else ref

    graph.map_refs(read, keep=new)


def _take_single(refs: Any) -> list[Any]:
    flat = [refs] if refs and isinstance(refs[0], str) else list(refs)
    if len(flat) != 1:
        raise ValueError("it makes several tensors")
    return flat


def _arguments(node: Node) -> dict[str, Any]:
    """Return the arguments of a call besides the tensors that it reads."""
    entries = [node.inbound] if isinstance(node.inbound[0], str) else node.inbound
    return {key: value for entry in entries for key, value in (entry[3] if len(entry) > 3 else {}).items()}


def _become(node: Node, layer: keras.layers.Layer) -> None:
    """Let a node be `layer`, with its name and its first tensor."""
    made = new_node(layer)
    node.class_name, node.config = made.class_name, {**made.config, "dtype": "float32"}
    node.inbound = [[*ref[:3], {}] for ref in node.refs()]


def _chain(graph: Graph, node: Node, layers: list[keras.layers.Layer]) -> None:
    """Let a node be the first of `layers` and put the others behind it."""
    _become(node, layers[0])
    for layer in layers[1:]:
        made = new_node(layer)
        made.name = graph.unique_name(made.name)
        node = graph.insert_after(node, made)


def _refuse(node: Node, use: str) -> QuantizerError:
    return QuantizerError(
        f"layer {node.name}: tf.{node.config['function']} as it is called here has no layer: use {use}"
    )


def _relu6(graph: Graph, node: Node, shapes: dict[str, Any]) -> None:
    _become(node, keras.layers.ReLU(6.0))


def _clip(graph: Graph, node: Node, shapes: dict[str, Any]) -> None:
    given = _arguments(node)
    low, high = given.get("clip_value_min"), given.get("clip_value_max")
    if (low, high) != (0, 6):
        raise _refuse(node, "ReLU(max_value=6), or tf.minimum and tf.maximum, which run on the CPU")
    _become(node, keras.layers.ReLU(6.0))


def _resize(graph: Graph, node: Node, shapes: dict[str, Any]) -> None:
    given, shape = _arguments(node), _shape(node.refs()[0], shapes)
    size: Any = given.get("size")
    method = str(given.get("method", "bilinear")).lower()
    plain = method in ("nearest", "bilinear") and not given.get("antialias") and not given.get("preserve_aspect_ratio")
    known = plain and len(shape) == 4 and isinstance(size, (list, tuple)) and None not in (*shape[1:3], *size)
    whole = known and not any(int(new) % old or new < old for new, old in zip(size, shape[1:3]))  # noqa: B905
    if whole:
        factors = [int(new) // old for new, old in zip(size, shape[1:3])]  # noqa: B905
        _become(node, keras.layers.UpSampling2D(tuple(factors), interpolation=method))
    elif not known or method != "bilinear":  # bilinear to any size runs on the CPU
        raise _refuse(node, "UpSampling2D (whole factors, nearest or bilinear), or bilinear to a size in numbers")


def _pad(graph: Graph, node: Node, shapes: dict[str, Any]) -> None:
    given = _arguments(node)
    pads: Any = given.get("paddings")
    plain = str(given.get("mode", "CONSTANT")).upper() == "CONSTANT" and not given.get("constant_values")
    is_image = isinstance(pads, (list, tuple)) and len(pads) == 4 and not any((*pads[0], *pads[3]))
    if not plain or not is_image:
        raise _refuse(node, "ZeroPadding2D: zeros at the rows and columns of an image")
    _become(node, keras.layers.ZeroPadding2D(tuple(tuple(pair) for pair in pads[1:3])))


def _pool(layer: Any) -> Callable[[Graph, Node, dict[str, Any]], None]:
    def make(graph: Graph, node: Node, shapes: dict[str, Any]) -> None:
        given = _arguments(node)
        padding, window = given.get("padding"), _pair(given.get("ksize"))
        strides = _pair(given.get("strides"))
        if padding not in ("SAME", "VALID") or not window or not strides or given.get("data_format", "NHWC") != "NHWC":
            raise _refuse(node, f"{layer.__name__} over rows and columns, padding 'SAME' or 'VALID'")
        _become(node, layer(window, strides, padding.lower()))

    return make


def _pair(value: Any) -> tuple[int, int] | None:
    """Return (rows, columns) of a window or stride given as 2, [2], [2, 2] or [1, 2, 2, 1]."""
    sizes = [int(size) for size in value] if isinstance(value, (list, tuple)) else [int(value)] if value else []
    if len(sizes) == 4 and sizes[0] == sizes[3] == 1:
        return sizes[1], sizes[2]
    return (sizes[0], sizes[-1]) if len(sizes) in (1, 2) else None


def _reshape(graph: Graph, node: Node, shapes: dict[str, Any]) -> None:
    """tf.squeeze and tf.expand_dims: the batch stays."""
    source, made = _shape(node.refs()[0], shapes), tuple(shapes[node.name])
    if None in made[1:] or source[0] != made[0]:
        raise _refuse(node, "Reshape, which keeps the batch, and an input of known size")
    _become(node, keras.layers.Reshape(made[1:]))


def _depth_to_space(graph: Graph, node: Node, shapes: dict[str, Any]) -> None:
    """Reshape, Permute, Reshape: the DPU has no other way, and the numbers stay the same."""
    given, shape = _arguments(node), _shape(node.refs()[0], shapes)
    block = int(given["block_size"])
    if None in shape[1:] or given.get("data_format", "NHWC") != "NHWC":
        raise _refuse(node, "UpSampling2D or Conv2DTranspose")
    _, height, width, channels = shape
    if node.config["function"].endswith("depth_to_space"):
        sizes = (height, width, block, block, channels // block**2)
    else:
        sizes = (height // block, block, width // block, block, channels)
    names = [f"{node.name}_{what}" for what in ("permuted", "made")]
    layers = keras.layers
    _chain(
        graph,
        node,
        [
            layers.Reshape(sizes),
            layers.Permute((1, 3, 2, 4, 5), name=names[0]),
            layers.Reshape(tuple(shapes[node.name][1:]), name=names[1]),
        ],
    )


def _stack(graph: Graph, node: Node, shapes: dict[str, Any]) -> None:
    """Reshape each tensor, then Concatenate."""
    axis, made = _arguments(node).get("axis", 0), tuple(shapes[node.name])
    axis %= len(made)
    if axis == 0 or None in made[1:]:
        raise _refuse(node, "Reshape and Concatenate along another axis than the batch")
    refs = node.refs()
    one = (*made[1:axis], 1, *made[axis + 1 :])
    _become(node, keras.layers.Concatenate(axis))
    for number, ref in enumerate(refs):
        part = new_node(keras.layers.Reshape(one, name=graph.unique_name(f"{node.name}_{number}")))
        part.inbound = [[*ref[:3], {}]]
        node.inbound[number] = [part.name, 0, 0, {}]
        graph._add_behind(ref[0], part)


def _split(graph: Graph, node: Node, shapes: dict[str, Any]) -> None:
    """A slice for each part."""
    ref, given = node.refs()[0], _arguments(node)
    source, made = _shape(ref, shapes), shapes[node.name]
    axis = int(given.get("axis", 0)) % len(source)
    parts = list(made) if isinstance(made, list) else [made]
    if axis == 0 or any(part[axis] is None for part in parts):
        raise _refuse(node, "slices x[..., a:b] along another axis than the batch")
    start = 0
    names: list[str] = []
    for number, part in enumerate(parts):
        cut = {"start": start, "stop": start + part[axis], "step": None}
        spec = [cut if at == axis else {"start": None, "stop": None, "step": None} for at in range(len(source))]
        name = graph.unique_name(f"{node.name}_{number}")
        config = {"trainable": True, "dtype": "float32", "function": "__operators__.getitem"}
        piece = Node(name, "SlicingOpLambda", config, inbound=[*ref[:3], {"slice_spec": spec}], input_rank=len(source))
        graph._add_behind(names[-1] if names else node.name, piece)
        names.append(name)
        shapes[name] = tuple(part)
        start += part[axis]

    def read(one: list[Any]) -> list[Any]:
        return [names[one[2]], 0, 0] if one[0] == node.name else one

    del graph.nodes[node.name]
    graph.map_refs(read)


def _identity(graph: Graph, node: Node, shapes: dict[str, Any]) -> None:
    """tf.identity, and tf.cast to another float type: everything here is float32."""
    given = _arguments(node).get("dtype", "float32")
    if not tf.as_dtype(given).is_floating:
        raise _refuse(node, "float numbers throughout; cast outside the model")
    graph.remove(node)


def _is_cut(part: Any) -> bool:
    """Tell whether a part of an index is a slice or the three dots."""
    return isinstance(part, (dict, slice)) or part is Ellipsis


def _index(graph: Graph, node: Node, shapes: dict[str, Any]) -> None:
    """Indexing with numbers or new axes: slices that keep each axis, then Reshape."""
    given = _arguments(node)
    spec, made = given.get("slice_spec") or [], tuple(shapes[node.name])
    if not isinstance(spec, (list, tuple)):  # x[a:b], of one axis
        spec = [spec]
        node.inbound = [*node.refs()[0][:3], {"slice_spec": spec}]
    spec = list(spec)
    batch_axis.check_index(node, spec)
    if all(_is_cut(part) for part in spec):
        return
    kept = [part for part in spec if part is not None]
    if None in made[1:] or not made[1:] or not kept or not _is_cut(kept[0]) or spec[0] is None:
        raise QuantizerError(f"layer {node.name}: indexes the images of a batch: keep axis 0 (x[:, ...])")
    parts = []
    for part in kept:
        if _is_cut(part):
            parts.append(part)
        elif isinstance(part, int):
            parts.append({"start": part, "stop": None if part == -1 else part + 1, "step": None})
        else:
            raise QuantizerError(f"layer {node.name}: indexes with {type(part).__name__}: use numbers and slices")
    (ref,) = node.refs()
    node.inbound = [*ref[:3], {"slice_spec": parts}]
    graph.insert_after(node, new_node(keras.layers.Reshape(made[1:], name=graph.unique_name(f"{node.name}_shape"))))


FUNCTIONS: dict[str, Callable[[Graph, Node, dict[str, Any]], None]] = {
    "nn.relu6": _relu6,
    "clip_by_value": _clip,
    "image.resize": _resize,
    "pad": _pad,
    **dict.fromkeys(("nn.max_pool2d", "nn.max_pool"), _pool(keras.layers.MaxPooling2D)),
    **dict.fromkeys(("nn.avg_pool2d", "nn.avg_pool"), _pool(keras.layers.AveragePooling2D)),
    **dict.fromkeys(("squeeze", "expand_dims"), _reshape),
    **dict.fromkeys(("nn.depth_to_space", "nn.space_to_depth"), _depth_to_space),
    "stack": _stack,
    "split": _split,
    **dict.fromkeys(_IDENTITIES, _identity),
}
