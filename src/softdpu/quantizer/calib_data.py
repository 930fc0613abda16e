"""Calibration data in every form that people have at hand, brought to batches of a model's inputs.

Arrays, tensors, lists of images, nested lists, one image, one array an input; tf.data sets, Sequences, generators,
generator functions and other iterables, of batches or of single images, with labels or without.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Callable, Iterable, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import numpy as np

from softdpu.keras2.api import keras, tf
from softdpu.quantizer.errors import QuantizerError

MOST = 1000  # batches taken of a source that does not say how long it is
_AHEAD = 2**28  # bytes of such a source read before the first batch is used, to see whether it ends
_ENDLESS = "say how many batches to take: calib_steps=..."


@dataclasses.dataclass(frozen=True)
class _Input:
    """One input of the model: its name and its shape without the batch, None for a size that may vary."""

    name: str
    shape: tuple[int | None, ...]

    def fit(self, value: Any) -> tuple[Any, bool] | None:
        """Return an array or tensor of this input, batch first, and whether it was a batch already; None if neither."""
        if not isinstance(value, (list, tuple)) and not hasattr(value, "__array__"):
            return None
        try:
            array = value if tf.is_tensor(value) else np.asarray(value)
            shape = tuple(array.shape)
        except (
            ValueError,
            TypeError,
            RuntimeError,
        ):  # lists of different lengths, tensors of other frameworks in a list
            return None
        if array.dtype == tf.string or (isinstance(array, np.ndarray) and array.dtype.kind in "OUSmM"):
            return None
        if _is_same(shape[1:], self.shape) and shape:
            return array, True
        if _is_same(shape, self.shape):
            return array[None], False
        if self.shape and self.shape[-1] == 1:  # grey images without an axis for the one channel
            if _is_same(shape[1:], self.shape[:-1]) and shape:
                return array[..., None], True
            if _is_same(shape, self.shape[:-1]):
                return array[None, ..., None], False
        if shape and shape[-1] == 1 and _is_same(shape[1:-1], self.shape):
            return array[..., 0], True
        return None


def _is_same(shape: tuple[Any, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(want in (None, size) for size, want in zip(shape, wanted))  # noqa: B905


class _Reader:
    """Finds a model's inputs in what a data set gives."""

    def __init__(self, model: keras.Model) -> None:
        self.inputs = [
            _Input(name, tuple(tensor.shape[1:]))
            for name, tensor in zip(model.input_names, model.inputs)  # noqa: B905
        ]

    def find(self, item: Any) -> tuple[list[Any], bool] | None:
        """Return one array an input, batch first, and whether `item` was a batch; None where it holds no inputs.

        Labels and what else stands beside the inputs are left out.
        """
        if isinstance(item, dict):
            return self._read_dict(item)
        if isinstance(item, (list, tuple)):
            together = self._fitting(list(item)) if len(item) == len(self.inputs) else None
            if together is not None:
                return together
        if len(self.inputs) == 1:
            found = self.inputs[0].fit(item)
            if found is not None:
                return [found[0]], found[1]
        # (inputs, labels), (inputs, labels, weights)
        if isinstance(item, (list, tuple)) and item and len(item) <= 3 and not np.isscalar(item[0]):
            return self.find(item[0])
        return None

    def _read_dict(self, item: dict[str, Any]) -> tuple[list[Any], bool] | None:
        names = [head.name for head in self.inputs]
        if set(names) <= set(item):
            return self._fitting([item[name] for name in names])
        found = [self.find(value) for value in item.values()]
        fitting = [one for one in found if one is not None]
        return fitting[0] if len(fitting) == 1 else None

    def _fitting(self, values: list[Any]) -> tuple[list[Any], bool] | None:
        found = [head.fit(value) for head, value in zip(self.inputs, values)]  # noqa: B905
        if any(one is None for one in found) or len({one[1] for one in found if one}) != 1:
            return None
        return [one[0] for one in found if one], all(one[1] for one in found if one)

    def whole(self, dataset: Any) -> list[Any] | None:
        """Return one array an input where `dataset` is all of the data at once; None where it is a list of items."""
        if isinstance(dataset, (list, tuple)) and len(self.inputs) == 1 and len(dataset) > 1:
            items = [self.inputs[0].fit(item) for item in dataset]
            if all(item is not None and not item[1] for item in items):  # images, one by one
                return _join([[item[0]] for item in items if item])
            if isinstance(dataset, list) and items[0] is not None:
                if not items[0][1]:
                    raise self.wrong(dataset)
                if all(item is not None for item in items):  # batches
                    return None
        found = self.find(dataset)
        if found is None:
            return None
        sizes = {len(array) for array in found[0]}
        if len(sizes) != 1:
            raise QuantizerError(f"calib_dataset: expected arrays of one length, got lengths {sorted(sizes)}")
        return found[0]

    def wrong(self, item: Any, where: str = "") -> QuantizerError:
        """Return the error for data that hold no inputs."""
        wanted = " and ".join(f"{_shape(('N', *head.shape))} for the input {head.name}" for head in self.inputs)
        return QuantizerError(f"calib_dataset: expected images {wanted}, got {describe(item)}{where}")


def _shape(shape: tuple[Any, ...]) -> str:
    sizes = ["any" if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def describe(item: Any) -> str:
    """Return in a few words what `item` is, without its numbers."""
    if isinstance(item, str):
        return f"the text {item[:40]!r}"
    if isinstance(item, dict):
        parts = ", ".join(f"{key}: {describe(value)}" for key, value in itertools.islice(item.items(), 4))
        return f"a dict of {parts}" if item else "an empty dict"
    if isinstance(item, (list, tuple)):
        kind = type(item).__name__
        if not item:
            return f"an empty {kind}"
        shapes = list(dict.fromkeys(describe(value) for value in item[:100]))
        return f"a {kind} of {len(item)}: {', '.join(shapes[:3])}{', ...' if len(shapes) > 3 else ''}"
    if hasattr(item, "shape") and hasattr(item, "dtype"):
        return f"{_shape(tuple(item.shape))} of {getattr(item.dtype, 'name', item.dtype)}"
    return f"a {type(item).__name__}"


def batches(model: keras.Model, dataset: Any, batch_size: int | None, steps: int | None) -> Iterator[Any]:
    """Yield the inputs of each batch: a tensor or array for one input, a list in the model's order for several.

    Args:
        model: whose inputs they are.
        dataset: calibration data in any of the forms above.
        batch_size: of arrays and of single images, 32 if None.
        steps: number of batches, all if None.

    Raises:
        QuantizerError: for data that do not fit the model's inputs, or that have no end and no `steps`.
    """
    steps, size = _count("calib_steps", steps), _count("calib_batch_size", batch_size) or 32
    reader = _Reader(model)
    if callable(dataset) and not hasattr(dataset, "__iter__") and not hasattr(dataset, "__getitem__"):
        dataset = _call(dataset)
    if steps is None and _is_endless(dataset):
        raise QuantizerError(f"calib_dataset: a tf.data set that repeats without end; {_ENDLESS}")
    if isinstance(dataset, (list, tuple, dict)) or _is_array(dataset):
        arrays = reader.whole(dataset)
        if arrays is not None:
            slices = ([array[at : at + size] for array in arrays] for at in range(0, len(arrays[0]), size))
            return _inputs(itertools.islice(slices, steps))
        if not isinstance(dataset, (list, tuple)):
            raise reader.wrong(dataset)
    source = itertools.islice(_group(reader, _items(reader, dataset), size, dataset), steps)
    return _inputs(source if steps is not None or _has_length(dataset) else _read_to_the_end(source))


def _count(name: str, value: Any) -> int | None:
    """Return a number of batches or images; 32.0 is one, as math gives it."""
    if value is None:
        return None
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        count = -1
    if isinstance(value, str) or count < 0 or count != value:
        raise QuantizerError(f"{name}: expected a whole number of 1 or more, got {value!r}")
    return count


def _call(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except TypeError as error:
        raise QuantizerError(f"calib_dataset: a function that cannot be called without arguments: {error}") from None


def _inputs(source: Iterable[list[Any]]) -> Iterator[Any]:
    return (arrays[0] if len(arrays) == 1 else arrays for arrays in source)


def _is_array(dataset: Any) -> bool:
    return tf.is_tensor(dataset) or hasattr(dataset, "__array__")


def _is_endless(dataset: Any) -> bool:
    return isinstance(dataset, tf.data.Dataset) and int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY


def _has_length(dataset: Any) -> bool:
    if isinstance(dataset, tf.data.Dataset):
        return int(dataset.cardinality()) >= 0
    return hasattr(dataset, "__len__")


def _items(reader: _Reader, dataset: Any) -> Iterator[Any]:
    """Return an iterator over what a data set gives, one batch or one image at a time."""
    if isinstance(dataset, str):
        raise reader.wrong(dataset)
    # A Sequence, Keras' or one like it: iterating over some of them goes on for ever.
    if hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__"):
        return (dataset[index] for index in range(len(dataset)))
    if not hasattr(dataset, "__iter__") and not hasattr(dataset, "__next__"):
        raise reader.wrong(dataset)
    return iter(dataset)


def _group(reader: _Reader, items: Iterator[Any], size: int, dataset: Any) -> Iterator[list[Any]]:
    """Yield one array an input a batch: batches as they come, single images by `size`."""
    waiting: list[list[Any]] = []
    for number, item in enumerate(items):
        found = reader.find(item)
        if found is None:
            if isinstance(dataset, (list, tuple)):
                raise reader.wrong(dataset)
            raise reader.wrong(item, f" as item {number}")
        arrays, is_batch = found
        if is_batch:
            yield arrays
            continue
        waiting.append(arrays)
        if len(waiting) == size:
            yield _join(waiting)
            waiting = []
    if waiting:
        yield _join(waiting)


def _join(images: list[list[Any]]) -> list[np.ndarray]:
    try:
        return [np.concatenate([np.asarray(array) for array in arrays]) for arrays in zip(*images)]  # noqa: B905
    except ValueError:
        raise QuantizerError(
            "calib_dataset: images of different sizes cannot be one batch: resize them, or set calib_batch_size=1"
        ) from None


def _read_to_the_end(source: Iterator[list[Any]]) -> Iterator[list[Any]]:
    """Yield all batches of a source that may have no end, or raise a QuantizerError that asks for calib_steps.

    As many as fit are read before the first is given on, so that the answer comes before the work.
    """
    held: list[list[Any]] = []
    nothing: list[Any] = []
    room = _AHEAD
    for batch in source:
        held.append(batch)
        room -= sum(np.asarray(array).nbytes for array in batch)
        if len(held) > MOST or room < 0:
            break
    for number in itertools.count(1):
        if len(held) > MOST:
            break
        batch = held.pop(0) if held else next(source, nothing)
        if batch is nothing:
            return
        if number > MOST:
            break
        yield batch
    raise QuantizerError(f"calib_dataset: gave {MOST} batches and does not end; {_ENDLESS}")
