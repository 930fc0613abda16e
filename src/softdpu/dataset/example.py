"""One record: an image file with its label as `tensorflow.Example`, written and read without TensorFlow.

The features are the tutorial's: label, height, width and chans (one int64 each) and image (the bytes of a JPEG).
The message types are declared here, field by field as TensorFlow's example.proto and feature.proto number them, so
that a program that makes records starts in a fraction of a second.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

MOST_CLASSES = 1 << 16  # that pages and pictures have room for


class Record(NamedTuple):
    """What one record holds: `label` 0..classes-1, the size in pixels, the channels, the bytes of the image file.

    target: what is right where that is more than a label, such as the bytes of a mask; an empty one is left out.
    """

    label: int
    height: int
    width: int
    chans: int
    image: bytes
    target: bytes = b""


def _message_classes() -> dict[str, Any]:
    """Build the classes of Example under names of ours, which the bytes do not hold; TensorFlow has its own."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="softdpu/example.proto", package="softdpu.records", syntax="proto3")

    def add(parent: Any, name: str, *fields: tuple[str, int, int, int, str]) -> Any:
        new = (parent.nested_type if parent is not file else file.message_type).add(name=name)
        for field_name, number, label, kind, type_name in fields:
            new.field.add(name=field_name, number=number, label=label, type=kind, type_name=type_name or None)
        return new

    one, many, sub = field.LABEL_OPTIONAL, field.LABEL_REPEATED, field.TYPE_MESSAGE
    add(file, "BytesList", ("value", 1, many, field.TYPE_BYTES, ""))
    add(file, "FloatList", ("value", 1, many, field.TYPE_FLOAT, ""))
    add(file, "Int64List", ("value", 1, many, field.TYPE_INT64, ""))
    feature = add(
        file,
        "Feature",
        ("bytes_list", 1, one, sub, ".softdpu.records.BytesList"),
        ("float_list", 2, one, sub, ".softdpu.records.FloatList"),
        ("int64_list", 3, one, sub, ".softdpu.records.Int64List"),
    )
    feature.oneof_decl.add(name="kind")
    for member in feature.field:
        member.oneof_index = 0
    features = add(file, "Features", ("feature", 1, many, sub, ".softdpu.records.Features.FeatureEntry"))
    entry = add(
        features,
        "FeatureEntry",
        ("key", 1, one, field.TYPE_STRING, ""),
        ("value", 2, one, sub, ".softdpu.records.Feature"),
    )
    entry.options.map_entry = True
    add(file, "Example", ("features", 1, one, sub, ".softdpu.records.Features"))

    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    factory: Any = message_factory
    if hasattr(factory, "GetMessageClassesForFiles"):
        return dict(factory.GetMessageClassesForFiles([file.name], pool))
    return dict(factory.MessageFactory(pool).GetMessages([file.name]))  # protobuf before 4.22


_CLASSES = _message_classes()  # all are kept, for protobuf 4.24 crashes when one of them is collected
Example = _CLASSES["softdpu.records.Example"]


def encode(record: Record) -> bytes:
    """Return the serialized Example of a record; equal records give equal bytes."""
    example = Example()
    feature = example.features.feature
    for name in ("label", "height", "width", "chans"):
        feature[name].int64_list.value.append(getattr(record, name))
    feature["image"].bytes_list.value.append(record.image)
    if record.target:
        feature["target"].bytes_list.value.append(record.target)
    return bytes(example.SerializeToString(deterministic=True))


def decode(data: bytes) -> Record:
    """Read a serialized Example, whoever wrote it; features of other names are passed over.

    Raises:
        ValueError: if it is no Example, or a feature is missing or of another type.
    """
    example = Example()
    try:
        example.ParseFromString(data)
    except message.DecodeError as error:
        raise ValueError(f"not a tensorflow.Example: {error}") from None
    feature = example.features.feature
    values: list[Any] = []
    for name in ("label", "height", "width", "chans", "image"):
        kind = "bytes_list" if name == "image" else "int64_list"
        if name not in feature or len(getattr(feature[name], kind).value) != 1:
            raise ValueError(f"feature '{name}' must be one value of {kind}, got {sorted(feature)}")
        values.append(getattr(feature[name], kind).value[0])
    if values[0] < 0:
        raise ValueError(f"the label must be 0 or more, it is {values[0]}")
    target = feature["target"].bytes_list.value if "target" in feature else []
    return Record(*values, *target[:1])
