"""Make polygons of label maps: the same as ``rsseg vectorize``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a bare clone has the package beside it

from paddle_rsseg.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["vectorize", *sys.argv[1:]]))
