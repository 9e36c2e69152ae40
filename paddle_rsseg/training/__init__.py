"""Training: the loop, its checkpoints, several processes."""

from paddle_rsseg.training.dry_run import DryRun, dry_run
from paddle_rsseg.training.run import RunOptions, TrainResult, resolve, train

__all__ = ["DryRun", "RunOptions", "TrainResult", "dry_run", "resolve", "train"]
