"""--check: the vectors in golden/ against what pre-processing, model and runner give, bit for bit. Part of card.py."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import numpy as np

from runners import CardError, new_buffers, one_line


def check(model: str, runner: Any, preprocess: Any) -> dict[str, Any]:
    """Compare with the vectors in golden/; print and return what is at fault: preprocessing, model or board."""
    digest, golden_shapes, input_names, names, vectors = read_golden(model)
    given, buffers = new_buffers(runner.get_input_tensors()), new_buffers(runner.get_output_tensors())
    inputs = in_order(runner.get_input_tensors(), given, input_names)
    outputs = in_order(runner.get_output_tensors(), buffers, names)
    with open(model, "rb") as file:
        same_model = hashlib.sha256(file.read()).hexdigest() == digest
    shapes = [list(buffer.shape[1:]) for buffer in [*inputs, *outputs]]
    if shapes != golden_shapes:
        raise CardError(f"model at fault: input and output are {shapes}, golden/ was made for another {model}")
    images = wrong_pixels = wrong_outputs = 0
    for image, source_path, expected_path in vectors:
        sources, expected = read_vectors(source_path, inputs), read_vectors(expected_path, outputs)
        if image is not None:
            preprocess.fill(image, [one[0] for one in given])
            images += 1
            wrong_pixels += sum(int(np.sum(one[0] != source)) for one, source in zip(inputs, sources))
        for one, source in zip(inputs, sources):
            one[...] = source  # in every place of the batch
        if runner.wait(runner.execute_async(given, buffers)):
            raise CardError("board at fault: the DPU runner reports a failed job")
        # a soft maximum on the CPU may differ in float32's last digit; a step of int8 is far more
        for output, wanted in zip(outputs, expected):
            wrong_outputs += int(np.sum(abs(output - wanted.astype(np.float32)) > 1e-6))
    print(f"Check preprocessing: {images} images, {wrong_pixels} differences")
    print(f"Check model: {'the packaged file' if same_model else 'not the file that golden/ was made from'}")
    print(f"Check outputs: {len(vectors)} vectors, {wrong_outputs} differences")
    at_fault = {"preprocessing": wrong_pixels > 0, "model": not same_model, "board": same_model and wrong_outputs > 0}
    faults = [name for name, fault in at_fault.items() if fault]
    print("Check: " + (f"at fault: {', '.join(faults)}" if faults else "0 differences"))
    return {"wrong_pixels": wrong_pixels, "wrong_outputs": wrong_outputs, "same_model": same_model, "faults": faults}


def in_order(tensors: list[Any], buffers: list[np.ndarray], names: list[str]) -> list[np.ndarray]:
    """Return the buffers of a runner's tensors in the order of `names`, or as they are where these are others."""
    by_name = {tensor.name: buffer for tensor, buffer in zip(tensors, buffers)}
    return [by_name[name] for name in names] if set(names) == set(by_name) else buffers


def read_golden(model: str) -> tuple[str, list[Any], list[str], list[str], list[Any]]:
    """Return the model's SHA-256, shapes of inputs and outputs, names of both, paths (image, input, output) each."""
    path = beside(model, "golden", "golden.json")
    golden = read_json(path)
    if not golden:
        raise CardError(f"--check needs {path}; make the card folder again")
    try:
        vectors = []
        for vector in golden["vectors"]:
            image = beside(model, vector["image"]) if vector["image"] is not None else None
            vectors.append((image, *(beside(model, "golden", vector[key]) for key in ("input", "expected"))))
        if vectors:
            inputs = golden["inputs"] if "inputs" in golden else [golden["input"]]
            outputs = golden["outputs"] if "outputs" in golden else [golden["output"]]
            names = [[str(name) for name in golden.get(key, [])] for key in ("input_names", "names")]
            return (golden["model_sha256"], [*inputs, *outputs], *names, vectors)
    except (KeyError, TypeError):
        pass
    raise CardError(f"{path} does not hold model_sha256, input, output and vectors; copy golden/ again")


def read_vector(path: str, shape: list[int], dtype: Any) -> np.ndarray:
    """Return the numbers of a raw file in golden/, in a shape and a type."""
    if not os.path.isfile(path) or os.path.getsize(path) != np.prod(shape) * np.dtype(dtype).itemsize:
        raise CardError(f"{path} is missing or damaged; copy golden/ again")
    return np.fromfile(path, dtype).reshape(shape)


def read_vectors(path: str, outputs: list[np.ndarray]) -> list[np.ndarray]:
    """Return the numbers of a raw file in golden/ that holds one image's numbers of each tensor, one after another."""
    sizes = [output[0].nbytes for output in outputs]
    data = read_vector(path, [sum(sizes)], np.uint8)
    starts = np.cumsum([0, *sizes])
    return [data[at : at + n].view(out.dtype).reshape(out.shape[1:]) for at, n, out in zip(starts, sizes, outputs)]


def beside(model: str, *names: str) -> str:
    """Return the path of a file in the folder of the .xmodel."""
    return os.path.join(os.path.dirname(model), *names)


def read_json(path: str) -> dict[str, Any]:
    """Return the JSON object in the file at `path`, {} if there is no file."""
    if not os.path.isfile(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
        if not isinstance(value, dict):
            raise ValueError(f"it holds {type(value).__name__}")
    except (ValueError, RecursionError) as error:
        raise CardError(f"{path} is no JSON object ({one_line(error)}); copy it again") from None
    return value
