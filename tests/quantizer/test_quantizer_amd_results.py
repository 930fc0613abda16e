"""Position by position and byte by byte what AMD's quantizer 3.5 gave for the same networks and images."""

from __future__ import annotations

import json

import amd_networks
import pytest

from softdpu.quantizer import vitis_quantize

RECORDED = json.loads(amd_networks.RESULTS.read_text())


@pytest.mark.parametrize("case", amd_networks.CASES)
def test_positions_and_outputs_are_amds(case):
    assert amd_networks.result(vitis_quantize, case) == RECORDED[case]
