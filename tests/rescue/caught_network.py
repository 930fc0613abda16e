"""The network that a recipe's steps work on, kept for tests of single steps."""

from __future__ import annotations

from softdpu.rescue import Rescue
from softdpu.rescue.network import Network


class Catch(Rescue):
    """A recipe that keeps the network instead of trying steps."""

    def after_calibration(self, model, batches, refine):
        refine()
        self.net = Network(model, self._graph.to_model(), batches, refine)
