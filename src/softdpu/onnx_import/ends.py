"""Where a classifier's or segmenter's numbers end and the picking of the class begins, which the app does itself."""

from __future__ import annotations

from softdpu.onnx_import.onnx_graph import Graph

_PICKS = ("ArgMax", "LogSoftmax")  # neither changes which class is found; a Softmax is taken off with Keras' own
_FORMS = ("Cast", "Squeeze", "Unsqueeze", "Reshape", "Identity")  # of the numbers of an ArgMax


def find_logits(graph: Graph) -> str | None:
    """Return the tensor that an ArgMax or LogSoftmax at the only output reads; None where there is no such end."""
    if len(graph.outputs) != 1:
        return None
    producers, name, picks = graph.producers(), graph.outputs[0], False
    while (node := producers.get(name)) is not None and node.op in (*_FORMS, *_PICKS):
        if node.op in _FORMS and picks:
            break  # in front of the pick it is the network's own
        picks = picks or node.op in _PICKS
        name = node.inputs[0]
    return name if picks else None
