"""AMD's tutorial apps that use xir and vart only, and what each is run with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from app_scripts_networks import write_images  # beside this file

TUTORIALS = "https://github.com/Xilinx/Vitis-AI-Tutorials"
VITIS_AI = "https://github.com/Xilinx/Vitis-AI"
Shape = tuple[int, int, int]
Prepare = Callable[[Path, np.ndarray, int], None]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PETS = ("dog", "cat")


@dataclass(frozen=True)
class Script:
    """One app and what it is run with.

    Attributes:
        branch, path: where it is; `vitis_ai` repository where the path begins with examples or demo.
        network, shape, classes: see app_scripts_networks.
        names: word for each class in the names of image files, "" for its number; `between` follows it.
        arguments: of its command line; {model} is replaced.
        images: how many; they lie in images/, and VART's examples look for that folder beside their working directory.
        board, vitis_ai: what to compile for; the version is the branch's where empty.
        prepare: writes what else the app reads into its folder, from the images and the number of classes.
    """

    branch: str
    path: str
    network: str
    shape: Shape
    classes: int
    names: tuple[str, ...] = ()
    between: str = "_"
    arguments: str = "-d images -t 2 -m {model}"
    images: int = 60
    board: str = "zcu102"
    vitis_ai: str = ""
    prepare: Prepare | None = None

    @property
    def repository(self) -> str:
        """Which of the two repositories it is in."""
        return VITIS_AI if self.path.startswith(("examples/", "demo/")) else TUTORIALS

    @property
    def beside(self) -> bool:
        """Whether the images lie beside the working directory, not in it."""
        return self.repository == VITIS_AI

    def file_name(self, number: int) -> str:
        """Return the name of an image, with its class where the app looks for it."""
        label = number % self.classes
        return f"{self.names[label] if self.names else label}{self.between}{number}.png"

    @property
    def version(self) -> str:
        """The Vitis AI version to compile for."""
        return self.vitis_ai or self.branch


def _segments(folder: Path, images: np.ndarray, classes: int) -> None:
    labels = (images[..., :1] // 22).repeat(3, axis=-1)
    write_images(folder / "seg_test", labels, lambda number: f"{number}.png")


def _signals(top: float, kind: type[Any]) -> Prepare:
    """Return what writes signals from -top to top as this type; the later apps take int8, the first floats."""

    def prepare(folder: Path, images: np.ndarray, classes: int) -> None:
        rng = np.random.default_rng(2)
        np.save(folder / "rf_input.npy", rng.uniform(-top, top, images.shape).astype(kind))
        np.save(folder / "rf_classes.npy", np.eye(classes)[rng.integers(0, classes, len(images))])
        np.save(folder / "rf_snrs.npy", rng.integers(-20, 30, (len(images), 1)))

    return prepare


def _words(folder: Path, images: np.ndarray, classes: int) -> None:
    (folder / "words.txt").write_text("".join(f"class {number}\n" for number in range(classes)))


def _family(branches: str, path: str, *network: Any, **more: Any) -> list[Script]:
    return [Script(branch, path, *network, **more) for branch in branches.split()]


_DIGITS: Any = ("customcnn", (28, 28, 1), 10, DIGITS)
_CIFAR: Any = ("densenet", (32, 32, 3), 10, CIFAR)
_PETS: Any = ("customcnn", (100, 125, 3), 2, PETS, ".")
_ALEXNET: Any = ("customcnn", (96, 96, 3), 2, PETS, ".", "-d images -t 2 -m {model} -p 1")
_FCN: dict[str, Any] = {"arguments": "-d images/ -t 2 -m {model} -i 1", "images": 6, "prepare": _segments}
_RESNET: Any = ("resnet50", (224, 224, 3), 1000)
_INCEPTION: Any = ("inception", (224, 224, 3), 1001)
_VART: dict[str, Any] = {"arguments": "1 {model}", "images": 4, "prepare": _words}
_LATEST: dict[str, Any] = {"vitis_ai": "3.0", **_VART}
_FLOATS: Any = ("signal", (256, 2, 2), 22), _signals(0.95, np.float32)
_NUMBERS: Any = ("signal", (256, 2, 2), 27), _signals(100, np.int8)


def _radio(branches: str, folder: str, network: Any, prepare: Prepare) -> list[Script]:
    """Return the two apps of a tutorial on radio signals."""
    accuracy, speed = (f"{folder}/files/boardSw/test_{name}.py" for name in ("accuracy", "performance"))
    return [
        *_family(branches, accuracy, *network, prepare=prepare, arguments="{model}", images=1000),
        *_family(branches, speed, *network, prepare=prepare, arguments="2 {model} 40", images=40),
    ]


def _tutorial(branches: str, folder: str, *network: Any, app: str = "app_mt", **more: Any) -> list[Script]:
    return _family(branches, f"{folder}/files/application/{app}.py", *network, **more)


_CAFFE = "Design_Tutorials/01-caffe_cats_vs_dogs/files/deploy/alexnetBNnoLRN"
_KERAS = "Design_Tutorials/04-Keras_GoogleNet_ResNet/files/target_zcu102/code/src/classification.py"
_SEGMENTS = "Design_Tutorials/05-Keras_FCN8_UNET_segmentation/files/target_zcu102/code/src/app_mt.py"
_OPTIMIZER = "Tutorials/TF2-Vitis-AI-Optimizer/files"
_PRUNED = "Feature_Tutorials/04-tensorflow-ai-optimizer"
SCRIPTS: list[Script] = [
    *_tutorial("1.3 1.4", "Design_Tutorials/02-MNIST_classification_tf", *_DIGITS),
    *_tutorial("1.3 1.4", "Design_Tutorials/03-using_densenetx", *_CIFAR),
    Script("1.4", "Introduction/03-Basic/Module_4/DenseNetX/target_template/app_mt.py", *_CIFAR),
    Script("1.3", _KERAS, "inception", (32, 32, 3), 10, CIFAR),
    Script("1.3", _SEGMENTS, "fcn", (224, 224, 3), 12, **_FCN),
    *_tutorial("1.3 1.4", "Design_Tutorials/08-tf2_flow", *_PETS),
    *_tutorial("1.3", "Design_Tutorials/09-mnist_pyt-master", *_DIGITS),
    *_tutorial("1.4", "Design_Tutorials/09-mnist_pyt", *_DIGITS),
    *_radio("1.3 1.4", "Design_Tutorials/10-RF_modulation_recognition", *_FLOATS),
    *_radio("2.5", "Tutorials/RFModulation_Recognition", *_NUMBERS),
    *_tutorial("1.4", "Design_Tutorials/11-tf2_var_autoenc", "autoencoder", (28, 28, 1), 12, between="image_"),
    *_tutorial("1.3 1.4", _PRUNED, *_PETS),
    *_tutorial("1.4", _PRUNED, *_PETS, app="ORIG_app_mt"),
    *_tutorial("1.3 1.4", "Feature_Tutorials/tf2_quant_fine_tune", "mobilenet", (96, 96, 3), 10),
    Script("3.5", f"{_OPTIMIZER}/cifar10_customcnn/application/cifar10_app_mt.py", "customcnn", (32, 32, 3), 10, CIFAR),
    Script("3.5", f"{_OPTIMIZER}/dogs-vs-cats_mobilenetv2/application/app_mt.py", "mobilenet v2", (96, 96, 3), 2, PETS),
    Script("1.3", f"{_CAFFE}/zcu102/code/src/classification.py", *_ALEXNET),
    *_family("1.4", f"{_CAFFE}/vck190/code/src/classification.py", *_ALEXNET, board="vck190"),
    *_family("1.3.2 1.4", "demo/VART/resnet50_mt_py/resnet50.py", *_RESNET, **_VART),
    Script("master", "examples/vai_runtime/resnet50_mt_py/resnet50.py", *_RESNET, **_LATEST),
    *_family("1.3.2 1.4 2.0", "demo/VART/inception_v1_mt_py/inception_v1.py", *_INCEPTION, **_VART),
    Script("master", "examples/vai_runtime/inception_v1_mt_py/inception_v1.py", *_INCEPTION, **_LATEST),
]
