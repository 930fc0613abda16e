"""AMD's own tools: which container image a Vitis AI version has, and where its compiler finds a board's DPU."""

from __future__ import annotations

from softdpu import boards
from softdpu.errors import SoftdpuError

# The images with the TensorFlow 2 tools for a machine without GPU, as AMD published them.
IMAGES = {
    "1.4": "docker://xilinx/vitis-ai-cpu:1.4.916",
    "2.0": "docker://xilinx/vitis-ai-cpu:2.0.0.1103",
    "2.5": "docker://xilinx/vitis-ai:2.5.0.1260",
    "3.0": "docker://xilinx/vitis-ai-tensorflow2-cpu:ubuntu2004-3.0.0.106",
}
# Sets up the environment of the container; nothing where the compiler is on the PATH already.
ACTIVATE = (
    "if ! command -v vai_c_tensorflow2 >/dev/null; then"
    " conda=/opt/vitis_ai/conda/etc/profile.d/conda.sh;"
    ' if ! [ -f $conda ]; then echo "error: toolchain vitis-ai needs vai_c_tensorflow2: put it on the PATH,'
    ' or run in the container of AMD with --sdm apptainer"; exit 1; fi;'
    " set +u; . $conda; conda activate vitis-ai-tensorflow2; set -u; fi"
)


def image(version: str | None) -> str:
    """Return the address of the container image of a Vitis AI version; None takes 3.0.

    Raises:
        SoftdpuError: for a version whose image is not known.
    """
    if (version or "3.0") not in IMAGES:
        raise SoftdpuError(f"no container image is known for Vitis AI {version}: choose one of {', '.join(IMAGES)}")
    return IMAGES[version or "3.0"]


def arch_file(name: str, version: str | None) -> str:
    """Return where AMD's container keeps the arch.json of the board `name`.

    Raises:
        SoftdpuError: for an unknown board.
    """
    target = boards.target(name, version)
    return f"/opt/vitis_ai/compiler/arch/{target.dpu.type}/{target.name.upper()}/arch.json"
