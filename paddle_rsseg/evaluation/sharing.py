"""Which samples, and which bands of a sample, a process predicts where several of them score one data set."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_rsseg import ranks
from paddle_rsseg.inference.engine import WindowPredictor
from paddle_rsseg.inference.journal import Journal
from paddle_rsseg.inference.units import Unit, extent, shares

#: with more samples for each process than this, whole samples are shared equally enough, and none is opened for it
MANY = 16


@dataclass(frozen=True)
class Share:
    """What one process does.

    Attributes:
        whole: samples that it predicts and counts.
        units: bands that it predicts of samples which others have parts of too.
        counted: such samples that it counts, when all of their bands are there.
        parted: all such samples, of whatever process.
    """

    whole: Sequence[int]
    units: tuple[Unit, ...] = ()
    counted: tuple[int, ...] = ()
    parted: tuple[int, ...] = ()


def share_out(dataset: Any, predictor: WindowPredictor, bands: bool) -> Share:
    """This process's share of a data set's samples.

    Args:
        bands: a sample may be parted: it is predicted in windows.

    Raises:
        RssegError: an image cannot be read.
    """
    rank, number = ranks.joined()
    if number == 1 or not bands or predictor.spec.resize is not None or len(dataset) > MANY * number:
        return Share(range(rank, len(dataset), number))
    extents = []
    for i in range(len(dataset)):
        with dataset.image(i) as raster:
            extents.append(extent(predictor.spec, raster.height, raster.width, predictor.count(raster)))
    parts = shares(extents, number)
    owners = [{k for k, part in enumerate(parts) for unit in part if unit.scene == i} for i in range(len(dataset))]
    parted = tuple(i for i, some in enumerate(owners) if len(some) > 1)
    return Share(
        [i for i, some in enumerate(owners) if some == {rank}],
        tuple(unit for unit in parts[rank] if unit.scene in parted),
        tuple(i for i in parted if min(owners[i]) == rank),
        parted,
    )


class Parts:
    """Bands of samples that several processes predict, in a journal for each sample.

    Args:
        directory: that all processes see. One that does not see the bands of another predicts them itself.
    """

    def __init__(self, directory: Path, dataset: Any, predictor: WindowPredictor, products: Any):
        # bands are read by a thread: it gets its own handles
        self.directory, self.dataset = directory, copy.deepcopy(dataset)
        self.predictor, self.products = predictor, products

    def predict(self, units: Sequence[Unit]) -> None:
        """Store the bands of these units."""
        for unit in units:
            with self.dataset.image(unit.scene) as raster:
                self.journal(unit.scene).keep(self.predictor.bands(raster, self.products, unit.first, unit.last))

    def read(self, samples: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """(sample, its bands)"""
        for i in samples:
            with self.dataset.image(i) as raster:
                yield i, self.journal(i).bands(self.predictor, raster, self.products)

    def journal(self, sample: int) -> Journal:
        return Journal(self.directory / str(sample), {"sample": sample})


@contextmanager
def parts_of(share: Share, dataset: Any, predictor: WindowPredictor, products: Any) -> Iterator[Parts]:
    """Where the processes put their bands; it is removed at the end, to which all come together."""

    def prepare() -> Path:
        parts = Parts(Path(tempfile.mkdtemp(prefix="rsseg-val-")), dataset, predictor, products)
        for i in share.parted:  # once, so that no process clears what another has begun
            parts.journal(i)
        return parts.directory

    # a temporary directory is seen by all processes of a machine; TMPDIR may name one that all machines see
    directory = ranks.on_main(prepare)
    try:
        yield Parts(directory, dataset, predictor, products)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
