"""Read by Python at its start: the executor waits ten seconds longer after each look at the queue, tests cannot."""

from __future__ import annotations

import asyncio
from typing import Any

_sleep = asyncio.sleep


async def _short(delay: float, result: Any = None) -> Any:
    return await _sleep(min(delay, 1), result)


asyncio.sleep = _short
