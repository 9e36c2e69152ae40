"""What is drawn, and the class each drawn thing has in a legend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

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


# iSAID, in the id order that everybody uses, with the colours of its development kit.
_ISAID = (
    ("background", (0, 0, 0), None),
    ("Ship", (0, 0, 63), Kind.SHIP),
    ("ST", (0, 63, 63), Kind.TANK),
    ("BD", (0, 63, 0), Kind.BASEBALL),
    ("TC", (0, 63, 127), Kind.TENNIS),
    ("BC", (0, 63, 191), Kind.BASKETBALL),
    ("GTF", (0, 63, 255), Kind.TRACK),
    ("Bridge", (0, 127, 63), Kind.BRIDGE),
    ("LV", (0, 127, 127), Kind.LARGE_VEHICLE),
    ("SV", (0, 0, 127), Kind.SMALL_VEHICLE),
    ("HC", (0, 0, 191), Kind.HELICOPTER),
    ("SP", (0, 0, 255), Kind.POOL),
    ("RA", (0, 191, 127), Kind.ROUNDABOUT),
    ("SBF", (0, 127, 191), Kind.SOCCER),
    ("Plane", (0, 127, 255), Kind.PLANE),
    ("Harbor", (0, 100, 155), Kind.HARBOUR),
)

ISAID = Legend(
    "isaid",
    tuple(name for name, _, _ in _ISAID),
    tuple(colour for _, colour, _ in _ISAID),
    {kind: next((i for i, row in enumerate(_ISAID) if row[2] is kind), 0) for kind in Kind},
)

#: the colours of the FarSeg release and its relatives: storage tank and roundabout change places
ISAID_REF_PALETTE = tuple(ISAID.palette[{2: 12, 12: 2}.get(i, i)] for i in range(16))

_BUILDING, _LAND, _ROAD, _VEGETATION, _WATER = range(5)

# The five classes and mask colours of the Dubai set. A vehicle counts as what it stands on.
LANDCOVER = Legend(
    "landcover",
    ("building", "land", "road", "vegetation", "water"),
    ((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41)),
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
    ignore_colour=(155, 155, 155),
)

LEGENDS = {legend.name: legend for legend in (ISAID, LANDCOVER)}


def legend_named(name: str) -> Legend:
    """The legend called ``name``; RssegError if there is none."""
    if name not in LEGENDS:
        raise RssegError("legend", f"unknown legend {name!r}", fix=did_you_mean(name, LEGENDS))
    return LEGENDS[name]
