"""What is drawn, and the class each drawn thing has in a legend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from paddle_rsseg.data.datasets.dubai import DubaiDataset
from paddle_rsseg.data.prepare import isaid_legend
from paddle_rsseg.errors import RssegError, did_you_mean

IGNORE = 255


class Kind(IntEnum):
    """The kinds of things in a scene; finer than any legend."""

    GROUND = 0
    GRASS = 1
    CROP = 2
    TREE = 3
    WATER = 4
    ROAD = 5
    PAVED = 6
    BUILDING = 7
    SHIP = 8
    TANK = 9
    BASEBALL = 10
    TENNIS = 11
    BASKETBALL = 12
    TRACK = 13
    BRIDGE = 14
    LARGE_VEHICLE = 15
    SMALL_VEHICLE = 16
    HELICOPTER = 17
    POOL = 18
    ROUNDABOUT = 19
    SOCCER = 20
    PLANE = 21
    HARBOUR = 22


@dataclass(frozen=True)
class Legend:
    """A list of classes.

    Attributes:
        name: its name on the command line.
        classes: one name a class.
        palette: one (R, G, B) a class.
        ids: class of every :class:`Kind`.
        ignore_colour: colour of pixels without a label in colour-coded masks.
    """

    name: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ids: Mapping[Kind, int]
    ignore_colour: tuple[int, int, int] = (0, 0, 0)

    def table(self) -> np.ndarray:
        """Class ids indexed by kind, 256 × uint8."""
        table = np.full(256, IGNORE, np.uint8)
        for kind in Kind:
            table[kind] = self.ids[kind]
        return table

    def colourise(self, label: np.ndarray, palette: tuple[tuple[int, int, int], ...] | None = None) -> np.ndarray:
        """H×W class ids → H×W×3 uint8 RGB; ids outside the legend take ``ignore_colour``."""
        table = np.empty((256, 3), np.uint8)
        table[:] = self.ignore_colour
        table[: len(self.classes)] = palette or self.palette
        return table[label]


# The kind of thing that each of iSAID's ids 1-15 is; everything else is its background.
_ISAID = (
    Kind.SHIP, Kind.TANK, Kind.BASEBALL, Kind.TENNIS, Kind.BASKETBALL, Kind.TRACK, Kind.BRIDGE, Kind.LARGE_VEHICLE,
    Kind.SMALL_VEHICLE, Kind.HELICOPTER, Kind.POOL, Kind.ROUNDABOUT, Kind.SOCCER, Kind.PLANE, Kind.HARBOUR,
)  # fmt: skip

ISAID = Legend(
    "isaid",
    isaid_legend.SHORT_CLASSES,
    isaid_legend.KIT_PALETTE,
    {kind: _ISAID.index(kind) + 1 if kind in _ISAID else 0 for kind in Kind},
)

_BUILDING, _LAND, _ROAD, _VEGETATION, _WATER = range(5)

# The five classes and mask colours of the Dubai set. A vehicle counts as what it stands on.
LANDCOVER = Legend(
    "landcover",
    DubaiDataset.CLASSES,
    DubaiDataset.PALETTE,
    {
        Kind.GROUND: _LAND,
        Kind.GRASS: _VEGETATION,
        Kind.CROP: _VEGETATION,
        Kind.TREE: _VEGETATION,
        Kind.WATER: _WATER,
        Kind.ROAD: _ROAD,
        Kind.PAVED: _ROAD,
        Kind.BUILDING: _BUILDING,
        Kind.SHIP: _WATER,
        Kind.TANK: _BUILDING,
        Kind.BASEBALL: _LAND,
        Kind.TENNIS: _LAND,
        Kind.BASKETBALL: _LAND,
        Kind.TRACK: _LAND,
        Kind.BRIDGE: _ROAD,
        Kind.LARGE_VEHICLE: _ROAD,
        Kind.SMALL_VEHICLE: _ROAD,
        Kind.HELICOPTER: _ROAD,
        Kind.POOL: _WATER,
        Kind.ROUNDABOUT: _ROAD,
        Kind.SOCCER: _VEGETATION,
        Kind.PLANE: _ROAD,
        Kind.HARBOUR: _ROAD,
    },
    ignore_colour=DubaiDataset.IGNORED[0],
)

LEGENDS = {legend.name: legend for legend in (ISAID, LANDCOVER)}


def legend_named(name: str) -> Legend:
    """The legend called ``name``; RssegError if there is none."""
    if name not in LEGENDS:
        raise RssegError("legend", f"unknown legend {name!r}", fix=did_you_mean(name, LEGENDS))
    return LEGENDS[name]
