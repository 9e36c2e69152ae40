"""TIPC's training step in its own options: ``python test_tipc/run_task.py train seg --config … --num_epochs 3 …``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a bare clone has the package beside this folder

from paddle_rsseg import runtime
from paddle_rsseg.errors import RssegError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("command", choices=["train"])
    parser.add_argument("task", choices=["seg"])
    parser.add_argument("--config", required=True, help="YAML file")
    parser.add_argument("--num_epochs", type=int, required=True, help="passes over the training images")
    parser.add_argument("--train_batch_size", type=int, required=True, help="images a step, all cards together")
    parser.add_argument("--save_dir", required=True, help="for checkpoints; best_model is the one to export")
    parser.add_argument("--precision", choices=["fp32", "fp16", "bf16"], help="default: the configuration's")
    parser.add_argument("--model_path", help="weights to start from")
    args = parser.parse_args()
    runtime.restart_for_cpu()
    runtime.quiet_paddle()
    try:
        train(args)
    except RssegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def train(args: argparse.Namespace) -> None:
    """Train for whole epochs, with evaluation and a checkpoint after each."""
    import paddle.distributed as dist

    from paddle_rsseg import load_config
    from paddle_rsseg import train as train_model
    from paddle_rsseg.config import build_dataset

    cards = dist.get_world_size()
    if args.train_batch_size % cards or args.num_epochs < 1:
        raise RssegError(
            "--train_batch_size, --num_epochs",
            f"{args.train_batch_size}, {args.num_epochs}",
            f"at least one epoch, and a batch that {cards} card(s) can share",
        )
    settings = load_config(args.config, [f"model.pretrained={args.model_path}"] if args.model_path else [])
    images = len(build_dataset(settings, "train"))
    steps = images // args.train_batch_size
    if steps == 0:
        raise RssegError(args.config, f"{images} training images", f"at least a batch, {args.train_batch_size}")
    result = train_model(
        settings,
        batch_size=args.train_batch_size // cards,
        iters=args.num_epochs * steps,
        precision=args.precision,
        save_dir=args.save_dir,
        save_interval=steps,
        do_eval=True,
        log_iters=1,
    )
    if dist.get_rank() == 0:
        print(
            f"{args.num_epochs} epochs of {steps} steps; best mIoU {result.best_miou:.4f} in {result.best_checkpoint}"
        )


if __name__ == "__main__":
    sys.exit(main())
