"""`softdpu records` and scripts/make_records.py: images become TFRecords."""

from __future__ import annotations

import argparse

from softdpu.commands.fields import pick
from softdpu.commands.values import positive, seed, share
from softdpu.dataset import images, make


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the records are made of; `run` of the parsed arguments makes them."""
    add = parser.add_argument
    add(
        "--kind",
        choices=sorted(make.SOURCES),
        required=True,
        help="what the source is; of folders: image_folder has one per class, mask_folder masks, box_folder boxes;"
        " image_files and array_files (.npz) are without labels, for task none",
    )
    add(
        "--source",
        required=True,
        help="fashion_mnist: folder of the four files; imagenet: the split's tar; else the folder of files",
    )
    add("--split", choices=make.SPLITS, required=True, help="which part of the data set")
    add("--output", required=True, metavar="DIR", help="folder for data_<i>.tfrecord and data_<i>.json")
    add("--shard", type=int, metavar="I", help="write this one alone, counted from 0 (default: all, and the manifest)")
    add("--shards", type=int, default=1, help="all but imagenet: files for the records (default: 1)")
    add("--images", type=positive, metavar="N", help="fashion_mnist: the first N of the split (default: all)")
    add("--jpeg-quality", type=int, default=100, help="fashion_mnist: of the JPEG files made (default: 100)")
    add(
        "--classes",
        type=positive,
        metavar="N",
        help="imagenet: the first N synsets; mask_folder: how many (default: all)",
    )
    add("--train-source", metavar="TAR", help="imagenet, val: the training tar, which names the classes")
    add("--ground-truth", metavar="FILE", help="imagenet, val: val.txt or a tar that holds it")
    add("--images-per-shard", type=positive, default=5000, help="imagenet, val: images in a file (default: 5000)")
    add("--val-share", type=float, default=0.2, help="folder without train/ and val/: for val (default: 0.2)")
    add("--seed", type=seed, default=1, help="folder without train/ and val/: of the choice (default: 1)")
    add("--verify", action="store_true", help="decode every image; otherwise the structure of JPEG files is checked")
    add(
        "--max-pixels",
        type=positive,
        default=images.MAX_PIXELS,
        metavar="N",
        help="leave an image out that declares more pixels, without decoding it (default: %(default)s)",
    )
    add_skipped(parser)
    parser.set_defaults(run=run)


def add_skipped(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how many broken images are too many."""
    parser.add_argument(
        "--max-skipped",
        type=share,
        default=0.01,
        metavar="SHARE",
        help="share of broken images, 0 to 1, above which the data set is refused (default: 0.01)",
    )


def run(args: argparse.Namespace) -> None:
    """Make one shard, or all and the manifest."""
    choice = pick(make.Choice, args)
    if args.shard is None:
        make.make(choice, args.output, args.verify, args.max_skipped)
    else:
        make.make_shard(choice, args.shard, args.output, args.verify)
