"""Frames per second before there is a board: a network's layers go into equations with a few fitted constants."""

from softdpu.predict.network import open_model
from softdpu.predict.predict import MODELLED, Prediction, predict_model, predict_network, target_for
from softdpu.predict.threads import THREADS

__all__ = ["MODELLED", "THREADS", "Prediction", "open_model", "predict_model", "predict_network", "target_for"]
