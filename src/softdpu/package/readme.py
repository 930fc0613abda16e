"""README.txt of a card folder: what to do with it, for somebody who stands before the board."""

from __future__ import annotations

from softdpu.numbers.boards import Target

_SOFTWARE = """\
THIS FOLDER RUNS ON A PC, NOT ON THE BOARD
mobilenet.xmodel was compiled by softdpu. It holds the network, quantized, laid out for the DPU
{dpu}, but no machine code of that DPU: AMD's instruction set is not
public. The software DPU on a PC computes from it what the DPU's arithmetic gives, bit for bit.
On the board AMD's runtime refuses it, and {app} says so. For a folder that runs on the
board, build again with `toolchain: vitis-ai` in config.yaml; the steps below are for that one.

On the PC, with softdpu's Python environment active:

    python3 {app} --threads 2
"""

_BOARD = """\
mobilenet.xmodel holds machine code for the DPU {dpu}, fingerprint
{fingerprint:#x}, which AMD's SD-card image of Vitis AI {vitis_ai} has. An image with another DPU refuses it.
"""

_TEXT = """\
{head} on a DPU: {title}

{kind}
1. Copy this folder to the board's home folder. On the PC that built it `snakemake deploy_{name} --config
   board=root@<address of the board>` does it, and board_run_{name} runs it as well; by hand (password root):

    scp -r target_{name} root@<address of the board>:~/

   or put the SD card into the PC and copy the folder to home/root of the card's second partition.

2. On the board, check that all files arrived, then run:

    cd ~/target_{name}
    sha256sum -c MANIFEST.sha256 | grep -v OK
    python3 {app} --threads {threads}

   {does}

3. If {what} not what was expected:

    python3 {app} --check

   compares with the vectors in golden/ bit by bit and says whether preprocessing, model or board is at fault.

Further options: --sweep 1,2,4,6 (throughput by number of threads), --end_to_end (times decoding and pre-processing
too), --seconds 60 (soak test), --json results.json. `python3 {app} --help` lists them all.
"""


# By task: the head, what the app does, and what may disappoint.
_ABOUT = {
    "classification": (
        "Image classification",
        "It classifies the {images} images in images/ and prints accuracy and throughput. The number before the _ in\n"
        "   an image's name is its right class; labels.txt has the names, line by line from 0.",
        "the accuracy is",
    ),
    "segmentation": (
        "Image segmentation",
        "It finds a class for each pixel of the {images} images in images/ and prints the mean intersection over\n"
        "   union with masks/ and the throughput; --save FOLDER writes what it found. labels.txt has the classes.",
        "the result is",
    ),
    "detection": (
        "Object detection",
        "It finds boxes in the {images} images in images/ and prints how many and the throughput. --labels\n"
        "   labels.json measures mAP where the package pycocotools is installed; --boxes boxes.json writes the boxes\n"
        "   to measure elsewhere, --draw folder draws them. detection.json says how outputs become boxes.",
        "the boxes are",
    ),
    "none": (
        "A network",
        "It runs the {images} files in images/ through the network, and prints the range of each output and the\n"
        "   throughput; --outputs results.npz writes the outputs themselves.",
        "the outputs are",
    ),
}


def make_text(target: Target, images: int, has_instructions: bool, task: str, app: str) -> str:
    """Return the text for a board, a number of images, a model with or without machine code for the DPU, a task and
    its app.
    """
    head, does, what = _ABOUT.get(task, _ABOUT["none"])
    values = {
        "name": target.name,
        "title": target.title,
        "vitis_ai": target.vitis_ai,
        "dpu": target.dpu.name,
        "fingerprint": target.fingerprint,
        "images": images,
        "app": app,
        "head": head,
        "does": does.format(images=images),
        "what": what,
        "threads": min(2 * target.cores, images),
    }
    kind = (_BOARD if has_instructions else _SOFTWARE).format(**values)
    return _TEXT.format(kind=kind, **values)
