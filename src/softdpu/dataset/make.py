"""What the program make_records does: a source chosen by name, one shard of it or all of them and the manifest."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from softdpu.dataset import records
from softdpu.dataset.fashion_mnist import FashionMnist
from softdpu.dataset.source import Source
from softdpu.files import PathLike

SPLITS = ("train", "val")


def _fashion_mnist(args: argparse.Namespace) -> Source:
    return FashionMnist(args.source, args.split, args.shards, args.images, args.jpeg_quality)


SOURCES: dict[str, Callable[[argparse.Namespace], Source]] = {"fashion_mnist": _fashion_mnist}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of make_records."""
    parser.add_argument("--kind", choices=sorted(SOURCES), required=True, help="what the source is")
    parser.add_argument("--source", required=True, help="folder of the four Fashion-MNIST files")
    parser.add_argument("--split", choices=SPLITS, required=True, help="which part of the data set")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for data_<i>.tfrecord and data_<i>.json")
    parser.add_argument("--shards", type=int, default=1, help="files to spread the records over (default: 1)")
    parser.add_argument("--shard", type=int, metavar="I", help="write this one alone, 0 to shards-1")
    parser.add_argument("--jobs", type=int, default=2, help="shards to write at once (default: 2)")
    parser.add_argument("--images", type=int, metavar="N", help="take the first N images of the split (default: all)")
    parser.add_argument("--jpeg-quality", type=int, default=100, help="of JPEG files made from pixels (default: 100)")
    parser.add_argument(
        "--verify", action="store_true", help="decode every image; otherwise the structure of JPEG files is checked"
    )
    add_skipped_argument(parser)


def add_skipped_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how many broken images are too many."""
    parser.add_argument(
        "--max-skipped",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="share of broken images, 0 to 1, above which the data set is refused (default: 0.01)",
    )


def make(args: argparse.Namespace) -> None:
    """Write one shard and its report if args.shard is set; otherwise all shards and the manifest."""
    source = SOURCES[args.kind](args)
    if args.shard is not None:
        records.write_shard(source, args.shard, args.output, args.verify)
        return
    with ProcessPoolExecutor(args.jobs) as pool:
        for future in [pool.submit(_write, args, shard) for shard in range(source.shards)]:
            future.result()
    merge(args.output, source.shards, args.max_skipped)


def merge(folder: PathLike, shards: int, max_skipped: float) -> None:
    """Join the reports of a split's shards."""
    manifest = records.merge(folder, shards, max_skipped)
    print(f"{folder}: {manifest['images']} images of {len(manifest['classes'])} classes in {shards} shards")


def _write(args: argparse.Namespace, shard: int) -> None:
    records.write_shard(SOURCES[args.kind](args), shard, args.output, args.verify)
