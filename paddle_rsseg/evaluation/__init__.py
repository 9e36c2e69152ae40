"""Confusion matrix → scores → report."""

from paddle_rsseg.evaluation.confusion import confusion_matrix
from paddle_rsseg.evaluation.evaluate import evaluate
from paddle_rsseg.evaluation.measures import Measures
from paddle_rsseg.evaluation.metrics import scores
from paddle_rsseg.evaluation.result import Evaluation

__all__ = ["Evaluation", "Measures", "confusion_matrix", "evaluate", "scores"]
