"""iSAID's archives → patches: ``python tools/prepare_dataset/prepare_isaid.py iSAID_zip -o iSAID``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare clone has the package beside it

from paddle_rsseg.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["prepare", "isaid", *sys.argv[1:]]))
