"""Confusion matrix → scores → report."""

from paddle_rsseg.evaluation.confusion import confusion_matrix
from paddle_rsseg.evaluation.evaluate import Evaluation, evaluate
from paddle_rsseg.evaluation.metrics import scores

__all__ = ["Evaluation", "confusion_matrix", "evaluate", "scores"]
