"""Topological order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from xir.errors import XirError

Node = TypeVar("Node")


def topological(
    nodes: Iterable[Node], sources: Callable[[Node], list[Node]], cycle_text: Callable[[Node], str]
) -> list[Node]:
    """Return `nodes` with every node after its sources; nodes that are in such an order already keep it.

    Raises:
        XirError: with `cycle_text(node)` when there is a cycle.
    """
    done: dict[Node, bool] = {}  # False while a node's sources are visited
    result: list[Node] = []
    for start in nodes:
        if start in done:
            continue
        done[start] = False
        stack = [(start, iter(sources(start)))]
        while stack:
            node, rest = stack[-1]
            for source in rest:
                if source not in done:
                    done[source] = False
                    stack.append((source, iter(sources(source))))
                    break
                if not done[source]:
                    raise XirError(cycle_text(source))
            else:
                stack.pop()
                done[node] = True
                result.append(node)
    return result
