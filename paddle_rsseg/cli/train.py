"""Train a network."""

from __future__ import annotations

import argparse

NEEDS_PADDLE = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", required=True, metavar="YAML", help="configuration, of this project or of PaddleSeg"
    )
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="KEY=VALUE", help="override the YAML: --opts loss.types.0.gamma=3"
    )

    values = parser.add_argument_group("override a value of the YAML")
    values.add_argument("--iters", type=int, metavar="N", help="updates of the weights")
    values.add_argument("--batch_size", type=int, metavar="N", help="images of one step on each GPU or process")
    values.add_argument("--learning_rate", type=float, metavar="LR", help="base rate of the schedule")
    values.add_argument("--seed", type=int, metavar="N", help="of initial weights, order and augmentation")
    values.add_argument(
        "--precision", choices=("fp32", "fp16", "bf16"), help="fp16, bf16: mixed precision, on GPUs only"
    )
    values.add_argument(
        "--amp_level", choices=("O1", "O2"), help="of mixed precision; O2 also stores half-size weights"
    )
    values.add_argument(
        "--early_stop_intervals", type=int, metavar="N", help="stop after N evaluations without a better mIoU"
    )

    run = parser.add_argument_group("the run")
    run.add_argument("--save_dir", default="output", metavar="DIR", help="for checkpoints and curves (default: output)")
    run.add_argument(
        "--save_interval", type=int, default=1000, metavar="N", help="iterations between checkpoints (default: 1000)"
    )
    run.add_argument(
        "--keep_checkpoint_max", type=int, default=5, metavar="N", help="checkpoints to keep, newest first (default: 5)"
    )
    run.add_argument(
        "--resume_model", metavar="DIR", help="go on from this iter_N directory; auto: from the latest of --save_dir"
    )
    run.add_argument(
        "--do_eval", action="store_true", help="score the validation set at each checkpoint, keep the best"
    )
    run.add_argument("--use_vdl", action="store_true", help="curves and sample predictions for VisualDL")
    run.add_argument(
        "--log_iters", type=int, default=10, metavar="N", help="iterations between log lines (default: 10)"
    )
    run.add_argument(
        "--num_workers", type=int, default=0, metavar="N",
        help="processes that read data (default: 0, none but this one); the result is the same",
    )  # fmt: skip
    run.add_argument("--device", choices=("cpu", "gpu"), help="default: a GPU if there is one")
    run.add_argument("--no_progress", action="store_true", help="log lines instead of a progress bar on a terminal")
    run.add_argument("--dry_run", action="store_true", help="build all, run one step, print the cost, save nothing")


def run(args: argparse.Namespace) -> int | None:
    from dataclasses import fields

    from paddle_rsseg import training
    from paddle_rsseg.training import distributed

    names = {field.name for field in fields(training.RunOptions)} & vars(args).keys()
    options = {name: getattr(args, name) for name in names}
    options["progress"] = False if args.no_progress else None
    values = ("iters", "batch_size", "learning_rate", "seed", "precision", "amp_level", "early_stop_intervals")
    settings = training.resolve(args.config, args.opts, **{name: getattr(args, name) for name in values})
    if args.dry_run:
        report = training.dry_run(settings, training.RunOptions(**options))
        if distributed.is_main():
            print("\n".join(report.lines()))
            print("dry run: nothing was saved")
        return None
    result = training.train(settings, **options)
    if distributed.is_main():
        if result.stopped:
            print(result.stopped)
        if result.best_checkpoint:
            print(f"best model: {result.best_checkpoint} (mIoU {result.best_miou:.4f})")
        print(f"last checkpoint: {result.checkpoint} (iteration {result.iteration})")
    return None
