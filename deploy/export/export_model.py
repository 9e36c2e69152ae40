"""Export in the options of PaddleRS and TIPC: ``python deploy/export/export_model.py --model_dir D --save_dir S``.

The same as ``tools/export.py``, whose own options are the better documented ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare clone has the package beside this folder

from paddle_rsseg.cli.main import main as rsseg
from paddle_rsseg.errors import RssegError


def input_shape(text: str) -> list[int]:
    """``[w,h]`` or ``[n,c,w,h]``, PaddleRS's order, → [N, C, H, W]; -1 is free."""
    try:
        numbers = [int(word) for word in text.strip("[] ").split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 4):
        raise RssegError("--fixed_input_shape", text, "[w,h] or [n,c,w,h], -1 where a size is free")
    *front, width, height = numbers
    return [*(front or [-1, -1]), height, width]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--model_dir", required=True, help="checkpoint directory, e.g. output/best_model")
    parser.add_argument("--save_dir", required=True, help="directory to write")
    parser.add_argument(
        "--fixed_input_shape", help="[w,h] or [n,c,w,h]; images are then cut or padded to w × h windows"
    )
    args = parser.parse_args()
    command = ["export", "--model_path", args.model_dir, "--save_dir", args.save_dir]
    if args.fixed_input_shape:
        try:
            command += ["--input_shape", *map(str, input_shape(args.fixed_input_shape))]
        except RssegError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    return rsseg(command)


if __name__ == "__main__":
    sys.exit(main())
