"""AMD's `vart` module on the software DPU: the same app runs here and, with AMD's module, on the board.

    runner = vart.Runner.create_runner(subgraph, "run")
    job = runner.execute_async([inputs], [outputs])
    runner.wait(job)

docs/runtime.md tells where this module is stricter than AMD's.
"""

from __future__ import annotations

from vart.errors import VartError
from vart.runner import Runner, RunnerExt
from vart.tensor_buffer import TensorBuffer

__all__ = ["Runner", "RunnerExt", "TensorBuffer", "VartError"]

__softdpu__ = True  # tells an app that this is not AMD's module, which needs a DPU's instructions in the model
