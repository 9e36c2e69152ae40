"""Weights: our own safetensors files, and everybody else's, read safely and renamed."""

from paddle_rsseg.weights.load import load_pretrained, load_weights
from paddle_rsseg.weights.native import read_weights, save_weights
from paddle_rsseg.weights.report import Report

__all__ = ["Report", "load_pretrained", "load_weights", "read_weights", "save_weights"]
