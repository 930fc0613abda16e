"""Exporting: a network in, one file out, checked on request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softdpu.errors import SoftdpuError
from softdpu.export.check import Finding, Vector, check_file, make_vectors
from softdpu.export.run import NO_ONNX
from softdpu.export.source import Source, refuse_unwritable
from softdpu.output import files
from softdpu.runtime.program import Program

FORMATS = ("xint8", "vint8", "tflite")
SUFFIXES = {"xint8": ".onnx", "vint8": ".onnx", "tflite": ".tflite"}
OPSET = 17


@dataclass(frozen=True)
class Options:
    """How a file is written; what a format has not is refused.

    Attributes:
        opset: of ONNX, 13 to 21.
        batch: images per run; None is free in ONNX and 1 in .tflite.
        layout: "nhwc" or "nchw", of ONNX.
        int8_bias: ONNX with biases as AMD Quark writes them, whose ties round half to even. Without it they are int32
            in half units of the sums, which leaves no ties, and every number is the DPU's.
        inputs: "int8" or "uint8", of .tflite.
    """

    opset: int = OPSET
    batch: int | None = None
    layout: str = "nhwc"
    int8_bias: bool = False
    inputs: str = "int8"


class Export:
    """One written file, and what is needed to check it."""

    def __init__(self, source: Source, form: str, output: Path, options: Options | None = None) -> None:
        """Write a network to `output`, whole or not at all; equal networks and options give equal bytes.

        Raises:
            SoftdpuError: unknown format, wrong suffix, opset or batch out of range, an op with no equivalent, or
                nothing can be written there.
        """
        chosen = options or Options()
        if form not in FORMATS:
            raise SoftdpuError(f"expected a format of {', '.join(FORMATS)}, got '{form}'")
        if output.suffix != SUFFIXES[form]:
            raise SoftdpuError(f"{output}: a {form} file ends in {SUFFIXES[form]}")
        if chosen.batch is not None and chosen.batch < 1:
            raise SoftdpuError(f"expected a batch of at least 1, got {chosen.batch}")
        self.output = output
        self._qdq: Any = None
        content = self._tflite(source, chosen) if form == "tflite" else self._onnx(source, form, chosen)
        with refuse_unwritable(output):
            files.write_bytes(output, content)
        self.program: Program = source.program

    def _onnx(self, source: Source, form: str, options: Options) -> bytes:
        try:
            from softdpu.export import qdq
        except ImportError:
            raise SoftdpuError(f"exporting ONNX {NO_ONNX}") from None
        self._qdq = qdq.build_qdq(
            source,
            form,
            opset=options.opset,
            batch=options.batch,
            layout=options.layout,
            tie_free=not options.int8_bias,
        )
        return qdq.serialize(self._qdq.proto)

    def _tflite(self, source: Source, options: Options) -> bytes:
        from softdpu.export.tflite import build_tflite

        if options.int8_bias or options.layout != "nhwc" or options.opset != OPSET:
            raise SoftdpuError("opset, layout and int8-bias are ONNX's: a .tflite has none of them")
        return build_tflite(source, batch=options.batch or 1, inputs=options.inputs).content

    def check(self, vectors: list[Vector] | None = None) -> Finding:
        """Run the file and compare it with the DPU's numbers; without vectors on three of its own."""
        chosen = make_vectors(self.program, 3) if vectors is None else vectors
        return check_file(self.output, self.program, chosen, self._qdq)
