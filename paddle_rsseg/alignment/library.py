"""Which golden files there are, and which network of ours each belongs to."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from paddle_rsseg.alignment.case import Case
from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.registry import MODELS

#: those that a clone brings
OWN = Path(__file__).parents[2] / "tests" / "golden"


@dataclass(frozen=True)
class Known:
    """A golden file that we have a network for.

    Attributes:
        path: of the file.
        name: ``<system>/<model>``.
        network: our network's registered name.
        backbone: its encoder's, "" where it has none of a name.
        source: repository, commit and files of the original.
    """

    path: Path
    name: str
    network: str
    backbone: str
    source: str


def golden_directory(given: str | os.PathLike | None = None) -> Path:
    """The folder with ``<system>/<model>.npz``: ``given``, else ``$RSSEG_GOLDEN``, else the clone's own.

    Raises:
        RssegError: no such folder.
    """
    directory = Path(given or os.environ.get("RSSEG_GOLDEN") or OWN)
    if not directory.is_dir():
        fix = "give --golden DIR; a clone of the project has tests/golden"
        raise RssegError(directory, "no such directory", "the folder of the originals' numbers", fix)
    return directory


def golden_cases(directory: Path) -> list[Known]:
    """Every file below ``directory`` that describes a run of an original, sorted by name.

    Files of functions, and runs of programs that none of our networks equals, are left out.

    Raises:
        RssegError: a file that cannot be read.
    """
    found = []
    for path in sorted(directory.glob("*/*.npz")):
        try:
            case = Case(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise RssegError(path, f"cannot be read ({error})", "a file of numbers of an original") from error
        if "names_shapes" not in case.meta:
            continue
        try:
            spec = case.original().model
        except RssegError:  # not one of ours
            continue
        backbone = spec.get("backbone", "")
        name = backbone if isinstance(backbone, str) else backbone["type"]
        found.append(
            Known(path, f"{case.meta['system']}/{case.meta['model']}", spec["type"], name, case.meta["source"])
        )
    return found


def choose(cases: list[Known], wanted: str) -> list[Known]:
    """Those of a network (``FarSeg``, case does not matter) or of a file's name or pattern (``seghz/hrnet_w*``).

    Raises:
        RssegError: none is.
    """
    chosen = [case for case in cases if case.network.lower() == wanted.lower() or fnmatchcase(case.name, wanted)]
    if chosen:
        return chosen
    if wanted.lower() in (name.lower() for name in MODELS.names()):
        there = ", ".join(sorted({case.network for case in cases})) or "none"
        raise RssegError(
            wanted, "no numbers of an original of it here", f"one of: {there}", "give another --golden DIR"
        )
    words = [*MODELS.names(), *(case.name for case in cases)]
    raise RssegError(wanted, "neither a network nor a golden file", fix=did_you_mean(wanted, words))
