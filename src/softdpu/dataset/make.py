"""What the program make_records does: a source chosen by name, one shard of it or all of them and the manifest."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any

from tqdm import tqdm

from softdpu.dataset import records
from softdpu.dataset.fashion_mnist import FashionMnist
from softdpu.dataset.folder import ImageFolder
from softdpu.dataset.imagenet import ImagenetTrain, ImagenetVal
from softdpu.dataset.options import positive, share
from softdpu.dataset.source import Source
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike

SPLITS = ("train", "val")


def _fashion_mnist(args: argparse.Namespace) -> Source:
    return FashionMnist(args.source, args.split, args.shards, args.images, args.jpeg_quality)


def _image_folder(args: argparse.Namespace) -> Source:
    return ImageFolder(args.source, args.split, args.shards, args.val_share, args.seed)


def _imagenet(args: argparse.Namespace) -> Source:
    if args.split == "train":
        return ImagenetTrain(args.source, args.classes)
    for option in ("train_source", "ground_truth"):
        if getattr(args, option) is None:
            raise SoftdpuError(f"--kind imagenet --split val also needs --{option.replace('_', '-')}")
    return ImagenetVal(args.source, args.ground_truth, args.train_source, args.classes, args.images_per_shard)


SOURCES: dict[str, Callable[[argparse.Namespace], Source]] = {
    "fashion_mnist": _fashion_mnist,
    "image_folder": _image_folder,
    "imagenet": _imagenet,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of make_records."""
    add = parser.add_argument
    add("--kind", choices=sorted(SOURCES), required=True, help="what the source is")
    add(
        "--source",
        required=True,
        help="fashion_mnist: folder of the four files; image_folder: folder of images; imagenet: the split's tar",
    )
    add("--split", choices=SPLITS, required=True, help="which part of the data set")
    add("--output", required=True, metavar="DIR", help="folder for data_<i>.tfrecord and data_<i>.json")
    add("--shard", type=int, metavar="I", help="write this one alone, counted from 0 (default: all, and the manifest)")
    add("--jobs", type=positive, default=os.cpu_count(), help="shards to write at once (default: one a processor)")
    add(
        "--shards",
        type=int,
        default=1,
        help="fashion_mnist, image_folder: files to spread the records over (default: 1)",
    )
    add(
        "--images",
        type=positive,
        metavar="N",
        help="fashion_mnist: take the first N images of the split (default: all)",
    )
    add("--jpeg-quality", type=int, default=100, help="fashion_mnist: of the JPEG files made (default: 100)")
    add("--classes", type=positive, metavar="N", help="imagenet: take the first N synsets (default: all)")
    add("--train-source", metavar="TAR", help="imagenet, val: the training tar, which names the classes")
    add("--ground-truth", metavar="FILE", help="imagenet, val: val.txt or a tar that holds it")
    add("--images-per-shard", type=positive, default=5000, help="imagenet, val: images in a file (default: 5000)")
    add("--val-share", type=float, default=0.2, help="image_folder without train/ and val/: for val (default: 0.2)")
    add("--seed", type=int, default=1, help="image_folder without train/ and val/: of the choice (default: 1)")
    add("--verify", action="store_true", help="decode every image; otherwise the structure of JPEG files is checked")
    add_skipped_argument(parser)


def add_skipped_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how many broken images are too many."""
    parser.add_argument(
        "--max-skipped",
        type=share,
        default=0.01,
        metavar="SHARE",
        help="share of broken images, 0 to 1, above which the data set is refused (default: 0.01)",
    )


def make(args: argparse.Namespace) -> None:
    """Write one shard and its report if args.shard is set; otherwise all shards and the manifest.

    When all are written, a shard that is newer than its source and was made with the same options is kept.
    """
    source = SOURCES[args.kind](args)
    if args.shard is not None:
        if not 0 <= args.shard < source.shards:
            raise SoftdpuError(f"the shard must be 0 to {source.shards - 1}, got {args.shard}")
        with tqdm(
            total=source.count(args.shard), unit="image", desc=f"{args.split} {args.shard}", mininterval=1
        ) as bar:
            records.write_shard(source, args.shard, args.output, args.verify, bar.update)
        return
    _write_all(source, args)
    merge(args.output, source.shards, args.max_skipped)


def merge(folder: PathLike, shards: int, max_skipped: float) -> None:
    """Join the reports of a split's shards."""
    manifest = records.merge(folder, shards, max_skipped)
    print(f"{folder}: {manifest['images']} images of {len(manifest['classes'])} classes in {shards} shards")


def _write_all(source: Source, args: argparse.Namespace) -> None:
    options = {name: value for name, value in vars(args).items() if name not in ("shard", "jobs", "max_skipped")}
    newest = max(path.stat().st_mtime_ns for path in source.inputs() if path.exists())
    shards = [shard for shard in range(source.shards) if not records.is_current(args.output, shard, options, newest)]
    total = sum(source.count(shard) for shard in shards)
    counter = multiprocessing.Value("q", 0)
    with (
        ProcessPoolExecutor(max(1, args.jobs), initializer=_share, initargs=(counter,)) as pool,
        tqdm(total=total, unit="image", desc=args.split, mininterval=0.5) as bar,
    ):
        futures: set[Future[None]] = {pool.submit(_write, args, shard, options) for shard in shards}
        while futures:
            done, futures = wait(futures, timeout=0.5, return_when=FIRST_COMPLETED)
            bar.update(counter.value - bar.n)
            for future in done:
                if future.exception():
                    pool.shutdown(cancel_futures=True)
                future.result()


_counter: Any = None


def _share(counter: Any) -> None:
    """Start a worker: it counts images, and ends with its parent, for which it would otherwise wait for ever."""
    global _counter
    _counter = counter
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _seen() -> None:
    with _counter.get_lock():
        _counter.value += 1


def _write(args: argparse.Namespace, shard: int, options: dict[str, Any]) -> None:
    records.write_shard(SOURCES[args.kind](args), shard, args.output, args.verify, _seen, options)
