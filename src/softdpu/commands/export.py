"""`softdpu export`: a quantized network as QDQ ONNX or .tflite."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from softdpu import tasks
from softdpu.commands import values
from softdpu.dataset import preprocess

_EXAMPLES = """\
examples:
  softdpu export build/quant_ft_model/quant_ft.h5 --format xint8 -o mobilenet.xint8.onnx --check
  softdpu export build/quant_ft_model/quant_ft.h5 --format vint8 -o mobilenet.vint8.onnx --batch 1
  softdpu export build/quant_ft_model/quant_ft.h5 --format tflite -o mobilenet.tflite --check
  softdpu export m.h5 --format xint8 -o m.onnx --check --golden build/target_zcu102/golden --records build/tfrec_val

exit codes: 0 done, 1 an error told in one line (--check: a number that is neither the DPU's nor the rounding of a
tie), 2 a wrong command line. docs/exports.md says which device takes which file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `softdpu export`."""
    parser.description = "Write a quantized network for other int8 devices: NPUs that take QDQ ONNX, or LiteRT."
    parser.epilog = parser.epilog or _EXAMPLES
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a quantized .h5, softdpu's or AMD's, or a compiled .xmodel")
    add("--format", required=True, help="xint8 or vint8 (QDQ ONNX), or tflite")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="the .onnx or .tflite to write")
    add("--opset", type=int, default=17, help="of ONNX, 13 to 21 (default: 17)")
    add("--batch", type=int, metavar="N", help="images per run (default: free in ONNX, 1 in .tflite)")
    add("--layout", choices=("nhwc", "nchw"), default="nhwc", help="of images, in ONNX (default: nhwc, as in Keras)")
    add("--int8-bias", action="store_true", help="ONNX with biases as Quark's; ties then round half to even, see docs")
    add("--inputs", choices=("int8", "uint8"), default="int8", help="of a .tflite (default: int8)")
    add("--target", default="zcu102", help="board whose compiled graph is exported (default: zcu102)")
    add("--check", action="store_true", help="run the file and explain every number that is not the DPU's")
    add("--golden", type=Path, metavar="DIR", help="check on the vectors of a card's golden/ instead of random ones")
    add("--vectors", type=values.positive, default=3, metavar="N", help="random vectors to check on (default: 3)")
    add("--records", type=Path, metavar="DIR", help="also measure the accuracy on these records")
    add("--task", choices=("classification", "segmentation"), default="classification", help="what the records hold")
    add("--fit", choices=preprocess.FITS, default=preprocess.STRETCH, help="of images to the input")
    values.add_scaling_argument(parser)
    add("--threads", type=values.positive, default=1, help="that decode images (default: 1)")
    add("--report", type=Path, metavar="JSON", help="write the check's findings and the accuracy to this file")
    add("--json", action="store_true", help="print JSON for programs instead of text for people")
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> None:
    from softdpu.export import check, source
    from softdpu.export.accuracy import measure
    from softdpu.export.write import Export, Options
    from softdpu.output import files

    chosen = Options(args.opset, args.batch, args.layout, args.int8_bias, args.inputs)
    made = Export(source.read_source(args.model, args.target), args.format, args.output, chosen)
    lines = [f"{args.output}: {args.output.stat().st_size} bytes, {args.format}"]
    report: dict[str, object] = {"format": args.format, "file": args.output.name, "sha256": files.sha256(args.output)}
    finding = None
    if args.check:
        if args.golden:
            vectors = check.read_golden_vectors(args.golden, made.program)
        else:
            vectors = check.make_vectors(made.program, args.vectors)
        finding = made.check(vectors)
        report["check"] = finding.as_dict()
        lines.append(finding.text())
    if args.records:
        found = measure(args.output, args.records, args.fit, args.scaling, threads=args.threads, task=args.task)
        report.update(found)
        metrics = ", ".join(f"{one.title} {100 * found[one.key]:.2f} %" for one in tasks.find(args.task).metrics)
        lines.append(f"{args.output}: {metrics} on {found['images']} images")
    print(json.dumps(report, indent=1) if args.json else "\n".join(lines))
    if args.report:
        with source.refuse_unwritable(args.report):
            files.write_json(args.report, report)
    if finding is not None:
        check.refuse_unexplained(finding)
