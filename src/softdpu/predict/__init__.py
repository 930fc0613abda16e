"""Frames per second before there is a board: a network's layers go into equations with a few fitted constants."""

from softdpu.predict.network import open_model
from softdpu.predict.predict import MODELLED, Prediction, find_target, predict_model, predict_network
from softdpu.predict.threads import THREADS

__all__ = ["MODELLED", "THREADS", "Prediction", "find_target", "open_model", "predict_model", "predict_network"]
