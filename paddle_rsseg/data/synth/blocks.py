"""What fills a block of a town: housing, perimeter blocks, flats, car parks, depots, industry.

Every function draws into a rectangle of the straight plane (metres) and needs no other knowledge of the scene.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from paddle_rsseg.data.synth import things
from paddle_rsseg.data.synth.ground import Layer, Site
from paddle_rsseg.data.synth.legends import Kind
from paddle_rsseg.data.synth.materials import Material as M


class Rect(NamedTuple):
    """A rectangle of the plane in metres."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def centre(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def inset(self, by: float) -> Rect:
        """Smaller by ``by`` metres on every side, but never inside out."""
        dx, dy = min(by, self.width / 2 - 0.5), min(by, self.height / 2 - 0.5)
        return Rect(self.x0 + dx, self.y0 + dy, self.x1 - dx, self.y1 - dy)

    def cut(self, axis: int, at: float) -> tuple[Rect, Rect]:
        """Left and right (axis 0) or upper and lower part (axis 1) of a cut at x or y = ``at``."""
        if axis == 0:
            return self._replace(x1=at), self._replace(x0=at)
        return self._replace(y1=at), self._replace(y0=at)


def turf(site: Site, rect: Rect) -> None:
    """Ground cover: lawn where it rains, sand where it does not."""
    if site.rng.random() < site.arid:
        site.rectangle(*rect, Kind.GROUND, M.SAND if site.rng.random() < 0.7 else M.SOIL)
    else:
        site.rectangle(*rect, Kind.GRASS, M.LAWN if site.rng.random() < 0.55 else M.GRASS)


def scatter_trees(site: Site, rect: Rect, per_hectare: float, low: float = 2.0, high: float = 4.5) -> None:
    """Single trees at random."""
    count = site.rng.poisson(max(0.0, rect.width * rect.height / 1e4 * per_hectare * (1 - 0.6 * site.arid)))
    for _ in range(int(count)):
        x, y = site.rng.uniform(rect.x0, rect.x1), site.rng.uniform(rect.y0, rect.y1)
        things.tree(site, x, y, site.rng.uniform(low, high))


def residential(site: Site, rect: Rect) -> None:
    """One or two rows of plots along the longer side: house, drive, car, garden, pool."""
    rng = site.rng
    turf(site, rect)
    along_x = rect.width >= rect.height
    length, depth = (rect.width, rect.height) if along_x else (rect.height, rect.width)
    rows = 2 if depth > 42 else 1
    plot_depth = min(depth / rows, 38.0)
    roofs = (
        [M.ROOF_RED, M.ROOF_BROWN, M.ROOF_GREY, M.ROOF_BITUMEN]
        if site.arid < 0.5
        else [M.ROOF_WHITE, M.PAVING, M.CONCRETE, M.ROOF_GREY]
    )
    palette = rng.permutation(4)[:3]
    pitch = rng.uniform(17, 25)
    count = max(1, int(length // pitch))
    for row in range(rows):
        for index in range(count):
            if rng.random() < 0.05:
                continue
            u = (index + 0.5) * length / count
            front = -1 if row == 0 else 1  # the street lies on this side

            def place(u: float, v: float, row: int = row) -> tuple[float, float]:
                """Along the row and away from its street → plane."""
                v = v if row == 0 else depth - v
                return (rect.x0 + u, rect.y0 + v) if along_x else (rect.x0 + v, rect.y0 + u)

            w, d = rng.uniform(9.5, min(14.5, pitch - 4)), rng.uniform(8, 11)
            setback = rng.uniform(5, 8)
            angle = (0.0 if along_x else np.pi / 2) + rng.normal(0, 0.02)
            hx, hy = place(u + rng.uniform(-1, 1), setback + d / 2)
            roof = roofs[palette[rng.choice(3, p=(0.6, 0.25, 0.15))]]
            if site.arid > 0.5:
                frame = site.frame(hx, hy, angle)
                things.flat_roof(frame, -w / 2, -d / 2, w / 2, d / 2, roof, rng.uniform(4, 8))
            else:
                things.house(site, hx, hy, angle, w, d, roof, rng.uniform(5, 8))
            # the drive leads past the house to the street
            du = u + rng.choice((-1, 1)) * (w / 2 + 1.8)
            drive = np.array([place(du, -1.0), place(du, setback + rng.uniform(3, 7))])
            site.line(drive, 3.2, Kind.PAVED, (M.CONCRETE, M.PAVING, M.OLD_ASPHALT)[rng.integers(3)], Layer.SIDEWALK)
            if rng.random() < 0.6:
                cx, cy = place(du, setback - rng.uniform(0, 3))
                things.car(site, cx, cy, angle + np.pi / 2 * front)
            back = plot_depth - setback - d
            if back > 9 and rng.random() < 0.22:
                px, py = place(u + rng.uniform(-3, 3), setback + d + back * 0.45)
                things.pool(site, px, py, angle, rng.uniform(7, 10), rng.uniform(3.5, 5))
            for _ in range(rng.poisson(2.2 * (1 - 0.6 * site.arid))):
                tx, ty = place(u + rng.uniform(-pitch / 2, pitch / 2), rng.uniform(setback + d + 2, plot_depth + 1))
                things.tree(site, tx, ty, rng.uniform(1.4, 4.2))
            edge = np.array([place(u + pitch / 2, 1.0), place(u + pitch / 2, plot_depth)])
            if rng.random() < 0.6 and index + 1 < count:
                site.line(edge, 0.9, Kind.TREE, M.TREE, Layer.MARK, 1.5, 0.9)
    if rows == 2 and depth > 2 * plot_depth + 6:
        middle = Rect(0, 0, length, depth).inset(plot_depth)
        spare = Rect(rect.x0 + middle.x0, rect.y0 + plot_depth, rect.x1, rect.y1 - plot_depth)
        scatter_trees(
            site, spare if along_x else Rect(rect.x0 + plot_depth, rect.y0, rect.x1 - plot_depth, rect.y1), 60
        )


def perimeter(site: Site, rect: Rect) -> None:
    """A town block: houses wall to wall around courtyards."""
    rng = site.rng
    site.rectangle(*rect, Kind.PAVED, M.PAVING)
    thick = min(rng.uniform(11, 15), rect.width / 3, rect.height / 3)
    yard = rect.inset(thick)
    if min(yard.width, yard.height) > 6:
        site.rectangle(
            *yard, *((Kind.GRASS, M.LAWN) if rng.random() < 0.6 * (1 - site.arid) else (Kind.PAVED, M.CONCRETE))
        )
        back = yard.width > 34 and yard.height > 34
        middle = yard.centre[1]
        for green in (
            (Rect(yard.x0, yard.y0, yard.x1, middle - 8), Rect(yard.x0, middle + 8, yard.x1, yard.y1))
            if back
            else (yard,)
        ):
            scatter_trees(site, green.inset(3), 110, 1.8, 3.8)
    roofs = (M.ROOF_RED, M.ROOF_BROWN, M.ROOF_GREY, M.ROOF_BITUMEN, M.GRAVEL, M.ROOF_WHITE)
    base = rng.uniform(12, 20)

    def row(x0: float, y0: float, x1: float, y1: float) -> None:
        along_x = x1 - x0 > y1 - y0
        length = x1 - x0 if along_x else y1 - y0
        edges = np.linspace(0, length, max(1, round(length / rng.uniform(13, 21))) + 1)
        for a, b in pairwise(edges):
            if rng.random() < 0.07:  # a gateway
                continue
            part = Rect(x0 + a, y0, x0 + b, y1) if along_x else Rect(x0, y0 + a, x1, y0 + b)
            roof, high = roofs[rng.integers(len(roofs))], base + rng.uniform(-3, 4)
            frame = site.frame(*part.centre)
            w, d = part.width, part.height
            if roof in (M.ROOF_RED, M.ROOF_BROWN) and site.arid < 0.5:
                things._pitched(frame, 0, 0, w, d, roof, high, hip=False, along=along_x)
                for at in (-0.25, 0.2):
                    cx, cy = (w * at, d * 0.1) if along_x else (w * 0.1, d * at)
                    frame.rectangle(
                        cx - 0.6, cy - 0.5, cx + 0.6, cy + 0.5, Kind.BUILDING, M.ROOF_BITUMEN, Layer.BUILT, high + 1.5
                    )
            else:
                things.flat_roof(frame, -w / 2, -d / 2, w / 2, d / 2, roof, high)

    row(rect.x0, rect.y0, rect.x1, rect.y0 + thick)
    row(rect.x0, rect.y1 - thick, rect.x1, rect.y1)
    row(rect.x0, rect.y0 + thick, rect.x0 + thick, rect.y1 - thick)
    row(rect.x1 - thick, rect.y0 + thick, rect.x1, rect.y1 - thick)
    if yard.width > 34 and yard.height > 34:  # a back building
        frame = site.frame(*yard.centre)
        things.flat_roof(frame, -yard.width * 0.28, -6, yard.width * 0.28, 6, roofs[rng.integers(len(roofs))], base - 6)


def slabs(site: Site, rect: Rect) -> None:
    """Free-standing blocks of flats on lawns, with car parks between them."""
    rng = site.rng
    turf(site, rect)
    high, roof = rng.uniform(14, 32), (M.ROOF_BITUMEN, M.GRAVEL, M.ROOF_GREY, M.ROOF_WHITE)[rng.integers(4)]
    pitch, y, index = rng.uniform(36, 48), rect.y0 + 6, 0
    while y + 13 < rect.y1:
        split = rect.x0 + rect.width * rng.uniform(0.45, 0.8)
        frame = site.frame((rect.x0 + split) / 2, y + 6.5)
        half = max(6.0, (split - rect.x0) / 2 - 5)
        things.flat_roof(frame, -half, -6.5, half, 6.5, roof, high)
        if rect.x1 - split > 26:
            tower = site.frame((split + rect.x1) / 2, y + 9)
            side = min(9.0, (rect.x1 - split) / 2 - 4)
            things.flat_roof(tower, -side, -side, side, side, roof, high * 1.25)
        below = Rect(rect.x0 + 4, y + 18, rect.x1 - 4, min(y + pitch - 4, rect.y1 - 2))
        if below.height > 16 and index % 2 == 0:
            car_park(site, Rect(below.x0, below.y0, below.x1, below.y0 + 17), ground=False)
        elif below.height > 5:
            scatter_trees(site, below, 90)
        y, index = y + pitch, index + 1


def car_park(site: Site, rect: Rect, ground: bool = True, full: float | None = None) -> None:
    """Rows of bays, 2.6 × 5 m, both sides of aisles; ``full``: share of bays taken."""
    rng = site.rng
    if ground:
        site.rectangle(*rect, Kind.PAVED, M.OLD_ASPHALT if rng.random() < 0.5 else M.ASPHALT)
    else:
        site.rectangle(*rect, Kind.PAVED, M.OLD_ASPHALT, Layer.SIDEWALK)
    full = rng.uniform(0.35, 0.85) if full is None else full
    area = rect.inset(0.8)
    columns = int(area.width // 2.6)
    y = area.y0
    while y + 5 <= area.y1 and columns:
        double = y + 10 <= area.y1 and y > area.y0
        for row in range(2 if double else 1):
            top = y + 5 * row
            for column in range(columns + 1):
                x = area.x0 + 2.6 * column
                site.line(
                    np.array([[x, top + 0.2], [x, top + 4.8]]), 0.15, Kind.PAVED, M.PAINT_WHITE, Layer.MARK, tone=0.85
                )
            for column in range(columns):
                if rng.random() < full:
                    x = area.x0 + 2.6 * (column + 0.5) + rng.normal(0, 0.1)
                    heading = (1 if rng.random() < 0.5 else -1) * np.pi / 2 + rng.normal(0, 0.03)
                    things.car(site, x, top + 2.5 + rng.normal(0, 0.2), heading)
        if double and columns > 8:
            for column in range(4, columns, 9):
                things.tree(site, area.x0 + 2.6 * column, y + 5, rng.uniform(1.4, 2.4))
        y += (10 if double else 5) + 6.5


def truck_yard(site: Site, rect: Rect) -> None:
    """A depot: lorries side by side, a hall, stacked containers."""
    rng = site.rng
    site.rectangle(*rect, Kind.PAVED, M.CONCRETE if rng.random() < 0.5 else M.OLD_ASPHALT)
    hall = min(24.0, rect.height * 0.34)
    frame = site.frame((rect.x0 + rect.x1) / 2, rect.y0 + hall / 2 + 2)
    half = rect.width / 2 - 4
    things.flat_roof(
        frame, -half, -hall / 2, half, hall / 2, (M.ROOF_WHITE, M.ROOF_BLUE, M.ROOF_GREY)[rng.integers(3)], 9.0
    )
    y = rect.y0 + hall + 13
    while y + 9 < rect.y1:
        if rng.random() < 0.7 or y < rect.y0 + hall + 14:
            for x in np.arange(rect.x0 + 4, rect.x1 - 4, 4.2):
                if rng.random() < 0.7:
                    things.truck(site, x, y, np.pi / 2 * (1 if rng.random() < 0.5 else -1))
        else:  # containers, to the label a part of the ground
            for x in np.arange(rect.x0 + 5, rect.x1 - 9, 6.5):
                for lane in range(3):
                    if rng.random() < 0.75:
                        box = site.frame(x + 3, y - 4 + 2.7 * lane)
                        paint = things._BOX_PAINT[rng.integers(7)]
                        box.rectangle(-3, -1.2, 3, 1.2, Kind.PAVED, paint, Layer.BUILT, 2.6 * rng.integers(1, 3))
        y += rng.uniform(19, 22)


def industry(site: Site, rect: Rect) -> None:
    """Halls of all sizes around a yard with cars and lorries."""
    rng = site.rng
    site.rectangle(*rect, Kind.PAVED, (M.CONCRETE, M.OLD_ASPHALT, M.GRAVEL)[rng.integers(3)])
    roofs = (M.ROOF_WHITE, M.ROOF_GREY, M.ROOF_BLUE, M.ROOF_GREEN, M.ROOF_BITUMEN, M.ROOF_RED, M.BODY_SILVER)
    axis = 0 if rect.width > rect.height else 1
    parts = list(
        rect.inset(3).cut(axis, (rect.x0, rect.y0)[axis] + (rect.width, rect.height)[axis] * rng.uniform(0.4, 0.6))
    )
    if min(rect.width, rect.height) > 90:
        parts = [piece for part in parts for piece in part.cut(1 - axis, part.centre[1 - axis])]
    for index, part in enumerate(parts):
        room = part.inset(3.5)
        if index == len(parts) - 1 and rng.random() < 0.7 and room.height > 12:
            car_park(site, room, ground=False)
            continue
        frame = site.frame(*room.centre)
        w, d = room.width / 2 * rng.uniform(0.75, 1), room.height / 2 * rng.uniform(0.7, 1)
        roof, high = roofs[rng.integers(len(roofs))], rng.uniform(7, 13)
        if rng.random() < 0.35:
            bays = max(2, round(2 * w / 14))
            for edge in np.linspace(-w, w, bays + 1)[:-1]:  # a row of gabled naves
                things._pitched(
                    frame, edge + w / bays, 0, 2 * w / bays, 2 * d, roof, high, hip=False, along=2 * w / bays > 2 * d
                )
        else:
            things.flat_roof(frame, -w, -d, w, d, roof, high)
        if rng.random() < 0.6:
            for at in np.arange(-w + 3, w - 3, rng.uniform(4.5, 9)):
                if rng.random() < 0.5:
                    local = np.array([room.centre[0] + at, room.y1 + 2.0])
                    (things.truck if rng.random() < 0.4 else things.car)(
                        site, local[0], local[1], rng.choice((0.0, np.pi))
                    )
    scatter_trees(site, Rect(rect.x0, rect.y0, rect.x1, rect.y0 + 4), 220, 1.5, 2.6)
