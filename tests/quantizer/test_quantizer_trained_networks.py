"""A fine-tuned model always compiles, and the compiled file computes what the Keras model computes, bit for bit."""

from __future__ import annotations

import amd_networks
import numpy as np
import pytest

from softdpu.compiler.compile import compile_keras
from softdpu.compiler.keras_h5 import read_keras_model
from softdpu.numbers import boards, fixed_point
from softdpu.quantizer.vitis_quantize import VitisQuantizer
from softdpu.runtime import evaluate_graph

KINDS = {
    "pof2s": ({}, {}),
    "pof2s_tqt": ({"quantize_strategy": "pof2s_tqt"}, {}),
    "train_with_bn": ({}, {"train_with_bn": True}),
}
CASES = [
    (amd_networks.inverted_residual, "pof2s"),
    (amd_networks.unet, "pof2s_tqt"),
    (amd_networks.squeeze_excite, "train_with_bn"),
]


def trained(build, kind, rate=0.3):
    """Train roughly, so that positions move far; return the model to deploy and images."""
    model, images = amd_networks.network(build)
    arguments, options = KINDS[kind]
    qat = VitisQuantizer(model, **arguments).get_qat_model(init_quant=True, calib_dataset=images, **options)
    labels = [np.random.RandomState(3).normal(0, 4, (40, *shape[1:])) for shape in shapes(qat)]
    qat.compile(amd_networks.keras.optimizers.SGD(rate, clipnorm=1.0), "mse")
    qat.fit(images, labels if len(labels) > 1 else labels[0], batch_size=8, epochs=2, verbose=0)
    return qat, images


def shapes(model):
    return model.output_shape if isinstance(model.output_shape, list) else [model.output_shape]


def compiled_outputs(path, images):
    """Compile a file and evaluate its graph in integers; return the outputs in the model's order."""
    model = read_keras_model(path)
    compiled = compile_keras(model, boards.find_target("zcu102"))
    graph, given = compiled.to_xir(), {}
    by_name = dict(zip((name for name, _ in model.inputs), images, strict=True))
    for op in graph.get_ops():
        if op.get_type() == "data-fix":
            tensor = op.get_output_tensor()
            position = tensor.get_attr("fix_point")
            given[tensor.name] = fixed_point.quantize(by_name[op.get_name()], position, fixed_point.HALF_UP)
    values = evaluate_graph(graph, given)
    return [values[op.tensor] for op in compiled.graph.outputs]


@pytest.mark.slow
@pytest.mark.parametrize(("build", "kind"), CASES)
def test_a_trained_network_compiles_and_is_exact(build, kind, tmp_path):
    qat, images = trained(build, kind)
    deployed = VitisQuantizer.get_deploy_model(qat)
    deployed.save(tmp_path / "deployed.h5")
    images = [array[:4] for array in (images if isinstance(images, list) else [images])]
    expected = deployed.predict(images if len(images) > 1 else images[0], verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    found = compiled_outputs(tmp_path / "deployed.h5", images)
    for value, other in zip(expected, found, strict=True):
        assert np.array_equal(value, other.reshape(value.shape))
        assert len(np.unique(value)) > 2
