"""Stands where AMD's quantizer has its module: writes every call to $RECORDED_CALLS and lets ours do the work."""

import json
import os

from softdpu.quantizer import vitis_quantize as ours


def _record(function, arguments, keywords):
    positional = [type(value).__name__ for value in arguments]
    named = {name: type(value).__name__ for name, value in keywords.items()}
    with open(os.environ["RECORDED_CALLS"], "a") as file:
        file.write(json.dumps([function, positional, named]) + "\n")


def quantize_scope(*arguments, **keywords):
    _record("quantize_scope", arguments, keywords)
    return ours.quantize_scope(*arguments, **keywords)


class VitisQuantizer:
    def __init__(self, *arguments, **keywords):
        _record("VitisQuantizer", arguments, keywords)
        self._ours = ours.VitisQuantizer(*arguments, **keywords)

    def quantize_model(self, *arguments, **keywords):
        _record("quantize_model", arguments, keywords)
        return self._ours.quantize_model(*arguments, **keywords)

    def get_qat_model(self, *arguments, **keywords):
        _record("get_qat_model", arguments, keywords)
        return self._ours.get_qat_model(*arguments, **keywords)

    @staticmethod
    def get_deploy_model(*arguments, **keywords):
        _record("get_deploy_model", arguments, keywords)
        return ours.VitisQuantizer.get_deploy_model(*arguments, **keywords)
