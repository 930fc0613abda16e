"""The software DPU: runs the subgraphs of an .xmodel, bit for bit as the DPU would.

Two engines, one truth: `reference` (numpy, exact and slow) defines the results, `litert` (one LiteRT model a subgraph)
gives the same bits at the speed of the best int8 kernels. SOFTDPU_ENGINE=reference chooses the first.
"""

from __future__ import annotations

from softdpu.runtime.engine import Engine, create_engine, evaluate_graph
from softdpu.runtime.pieces import GraphEngine, create_graph_engine

__all__ = ["Engine", "GraphEngine", "create_engine", "create_graph_engine", "evaluate_graph"]
