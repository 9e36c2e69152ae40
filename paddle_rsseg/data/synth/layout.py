"""The plan of a scene: a plane cut into blocks by streets, with the wanted features placed first.

The plan is light: it knows the parts of the scene and where they lie. What a part contains is drawn when a
window of the picture asks for it, from a random generator of the part's own, so that a scene may be of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from paddle_rsseg.data.synth import blocks, country, things
from paddle_rsseg.data.synth.blocks import Rect
from paddle_rsseg.data.synth.features import FEATURES, STRIPS, harbour, river
from paddle_rsseg.data.synth.ground import Ground, Layer, Shape, Site
from paddle_rsseg.data.synth.legends import Kind
from paddle_rsseg.data.synth.materials import Material as M
from paddle_rsseg.errors import RssegError, did_you_mean
from paddle_rsseg.windows import Window


class Part(NamedTuple):
    """One drawable part of a scene: a block or a street; ``box`` is (x0, y0, x1, y1) in pixels."""

    box: np.ndarray
    draw: Callable[[Site], None]


class _Cell(NamedTuple):
    """A piece of the plane while it is being cut up; ``kerbs``: metres taken by the street at each side."""

    rect: Rect
    kerbs: tuple[float, float, float, float]

    def cut(self, axis: int, at: float, kerb: float) -> tuple[_Cell, _Cell]:
        a, b = self.rect.cut(axis, at)
        left, top, right, low = self.kerbs
        if axis == 0:
            return _Cell(a, (left, top, kerb, low)), _Cell(b, (kerb, top, right, low))
        return _Cell(a, (left, top, right, kerb)), _Cell(b, (left, kerb, right, low))

    @property
    def room(self) -> Rect:
        x0, y0, x1, y1 = self.rect
        left, top, right, low = self.kerbs
        return Rect(x0 + left, y0 + top, x1 - right, y1 - low)


# Zones by urbanity: weight in the country and in town, smallest side and area in metres, and what draws them.
_ZONES: tuple[tuple[float, float, float, Callable[[Site, Rect], None]], ...] = (
    (0.5, 3.2, 40, blocks.residential),
    (0.0, 2.6, 45, blocks.perimeter),
    (0.0, 1.3, 60, blocks.slabs),
    (0.3, 0.8, 50, blocks.industry),
    (0.1, 0.4, 40, blocks.car_park),
    (0.3, 0.9, 40, country.park),
    (2.2, 0.3, 40, country.forest),
    (4.5, 0.0, 60, country.fields),
    (0.9, 0.0, 50, country.orchard),
    (0.7, 0.0, 90, country.farm),
    (0.6, 0.4, 30, country.vacant),
)
_RARE = {"sports": 0.35, "courts": 0.3, "tanks": 0.3, "trucks": 0.3, "roundabout": 0.35, "airport": 0.2}


class Plan:
    """A planned scene.

    Args:
        seed: entropy of everything random, e.g. [seed, scene].
        height, width: pixels.
        gsd: metres a pixel.
        features: names of FEATURES and STRIPS that the scene must show.
        urbanity: -1 (country) to 1 (town); None draws it.
    """

    def __init__(
        self,
        seed: list[int],
        height: int,
        width: int,
        gsd: float,
        features: Iterable[str] = (),
        urbanity: float | None = None,
    ):
        known = [*FEATURES, *STRIPS]
        features = list(features)
        for name in features:
            if name not in known:
                raise RssegError("synth.features", f"unknown feature {name!r}", fix=did_you_mean(name, known))
        self.seed = seed
        self._rng = rng = np.random.default_rng(seed)
        self.ground = Ground(rng, height, width, gsd)
        self.arid = float(np.clip(rng.uniform(-0.7, 1.0), 0, 1))
        self._bias = rng.uniform(-0.35, 0.9) if urbanity is None else urbanity
        if features and urbanity is None:
            self._bias = max(self._bias, 0.25)  # airports and harbours are not far from town
        self._mood = rng.uniform(0, 2 * np.pi, 4)
        self._parts: list[Part] = []
        self._streets: list[Part] = []
        self._lay_out(features)
        self._parts += self._streets
        self._boxes = np.array([part.box for part in self._parts])
        self.shapes = lru_cache(maxsize=512)(self._shapes)

    def parts_in(self, window: Window, margin: float) -> list[int]:
        """Numbers of the parts that reach into a window grown by ``margin`` pixels."""
        x0, y0, x1, y1 = self._boxes.T
        inside = (
            (x1 > window.x0 - margin)
            & (x0 < window.x1 + margin)
            & (y1 > window.y0 - margin)
            & (y0 < window.y1 + margin)
        )
        return np.flatnonzero(inside).tolist()

    def _shapes(self, part: int) -> list[Shape]:
        """All shapes of a part (cached as :attr:`shapes`)."""
        site = Site(self.ground, np.random.default_rng([*self.seed, 1 + part]), self.arid)
        self._parts[part].draw(site)
        return site.shapes

    # -- the plan ------------------------------------------------------------------------------------------------

    def _lay_out(self, features: list[str]) -> None:
        rng = self._rng
        width, height = self.ground.size
        reach = 0.5 * float(np.hypot(width, height)) + 75
        cell = _Cell(Rect(-reach, -reach, reach, reach), (0, 0, 0, 0))
        # features go where the picture certainly is: the turned scene hides its corners
        inner = Rect(-width / 2, -height / 2, width / 2, height / 2).inset(0.06 * min(width, height))
        sea = -1
        if "harbour" in features or (not features and rng.random() < 0.15):
            sea = int(rng.integers(4))
            cell, inner = self._sea(cell, inner, sea)
        cells = [cell]
        if "river" in features or (not features and rng.random() < 0.25):
            along_x = (sea in (0, 2)) if sea >= 0 else bool(rng.integers(2))
            cells = self._river(cell, inner, along_x)
        wanted = sorted((name for name in features if name in FEATURES), key=self._need, reverse=True)
        # the largest features first, each to the piece that has most room left
        shares: list[list[str]] = [[] for _ in cells]
        visible = [_overlap(piece.rect, inner) for piece in cells]
        room = [rect.width * rect.height for rect in visible]
        for name in wanted:
            best = int(np.argmax(room))
            shares[best].append(name)
            room[best] -= self._need(name)
        for piece, share, rect in zip(cells, shares, visible, strict=True):
            self._frame_in(piece, rect, share)

    @staticmethod
    def _need(name: str) -> float:
        return FEATURES[name][1] * FEATURES[name][2]

    def _sea(self, cell: _Cell, inner: Rect, side: int) -> tuple[_Cell, Rect]:
        """Cut the sea off one side; returns the land and what is left of the inner rectangle."""
        rng = self._rng
        axis, low = (0, 1, 0, 1)[side], side in (0, 1)
        extent = (inner.width, inner.height)[axis]
        depth = float(np.clip(extent * rng.uniform(0.2, 0.27), 28, 150))
        edge = (inner.x0, inner.y0)[axis] + depth if low else (inner.x1, inner.y1)[axis] - depth
        first, second = cell.cut(axis, edge, 7.0)
        water, land = (first, second) if low else (second, first)
        in_water, in_land = inner.cut(axis, edge) if low else inner.cut(axis, edge)[::-1]
        begin, end = (in_water.y0, in_water.y1) if axis == 0 else (in_water.x0, in_water.x1)
        span = end - begin
        start = begin + span * rng.uniform(0.08, 0.25)
        stop = min(start + max(80.0, span * rng.uniform(0.45, 0.65)), end - 2)
        basin = water.room
        self._add(basin, lambda site: harbour(site, basin, side, start, stop))
        self._street(axis, edge, cell.rect, 10.0)
        return land, in_land

    def _river(self, cell: _Cell, inner: Rect, along_x: bool) -> list[_Cell]:
        """Cut a river across; returns the two banks."""
        rng = self._rng
        axis = 1 if along_x else 0
        extent = (inner.width, inner.height)[axis]
        wide = float(np.clip(extent * rng.uniform(0.11, 0.17), 22, 70))
        at = (inner.x0, inner.y0)[axis] + extent * rng.uniform(0.3, 0.62)
        first, rest = cell.cut(axis, at, 5.5)
        strip, second = rest.cut(axis, at + wide + 11, 5.5)
        for edge in (at, at + wide + 11):
            self._street(axis, edge, cell.rect, 7.0)
        room = strip.room
        origin = room.x0 if along_x else room.y0
        begin, end = (inner.x0, inner.x1) if along_x else (inner.y0, inner.y1)
        # about a bridge every 250 m over the whole strip; one certainly inside the picture
        bridges = [begin + (end - begin) * rng.uniform(0.3, 0.7) - origin]
        length = room.width if along_x else room.height
        for candidate in np.arange(rng.uniform(40, 120), length, 250.0):
            if all(abs(candidate - b) > 90 for b in bridges):
                bridges.append(float(candidate))
        road = float(rng.choice((8.0, 11.0, 15.0)))
        self._add(room, lambda site: river(site, room, along_x, bridges, road))
        return [first, second]

    def _frame_in(self, cell: _Cell, visible: Rect, features: list[str]) -> None:
        """Cut off what lies outside of the visible part, then divide the rest among the features."""
        if features:
            for axis, at, keep_second in (
                (0, visible.x0, True), (0, visible.x1, False), (1, visible.y0, True), (1, visible.y1, False),
            ):  # fmt: skip
                low, high = (cell.rect.x0, cell.rect.x1) if axis == 0 else (cell.rect.y0, cell.rect.y1)
                if low + 30 < at < high - 30:
                    self._street(axis, at, cell.rect, 9.0)
                    first, second = cell.cut(axis, at, 6.5)
                    cell, outside = (second, first) if keep_second else (first, second)
                    self._divide(outside)
        self._allot(cell, features)

    def _allot(self, cell: _Cell, features: list[str]) -> None:
        """A tree map: cut until every feature has a block of about the size it likes."""
        rng, rect = self._rng, cell.rect
        if not features:
            self._divide(cell)
            return
        if len(features) == 1:
            draw, length, depth = FEATURES[features[0]]
            if rect.width < rect.height:
                length, depth = depth, length
            surplus = (rect.width / length, rect.height / depth)
            axis = int(np.argmax(surplus))
            like = (length, depth)[axis] * rng.uniform(1.08, 1.3) + 12
            if (rect.width, rect.height)[axis] - like < 45:
                self._add(cell.room, lambda site: draw(site, cell.room))
                return
            low, high = (rect.x0, rect.x1) if axis == 0 else (rect.y0, rect.y1)
            first = rng.random() < 0.5
            at = low + like if first else high - like
            parts = self._cut(cell, axis, at)
            self._allot(parts[0 if first else 1], features)
            self._divide(parts[1 if first else 0])
            return
        groups: tuple[list[str], list[str]] = ([], [])
        areas = [0.0, 0.0]
        for name in features:
            smaller = int(np.argmin(areas))
            groups[smaller].append(name)
            areas[smaller] += self._need(name)
        axis = 0 if rect.width > rect.height else 1
        low, high = (rect.x0, rect.x1) if axis == 0 else (rect.y0, rect.y1)
        parts = self._cut(cell, axis, low + (high - low) * float(np.clip(areas[0] / sum(areas), 0.3, 0.7)))
        for part, group in zip(parts, groups, strict=True):
            self._allot(part, group)

    def _urbanity(self, rect: Rect) -> float:
        """0 in the country to 1 in town; varies over a kilometre."""
        x, y = rect.centre
        swing = 0.5 * np.sin(x / 140 + self._mood[0]) * np.sin(y / 170 + self._mood[1]) + 0.3 * np.sin(
            (x + y) / 310 + self._mood[2]
        )
        return float(np.clip(0.5 + self._bias * 0.6 + swing * 0.6, 0, 1))

    def _divide(self, cell: _Cell) -> None:
        """Cut an ordinary area into blocks, larger ones in the country, and give each a zone."""
        rng, rect = self._rng, cell.rect
        urban = self._urbanity(rect)
        wanted = rng.uniform(62, 105) + (1 - urban) * rng.uniform(30, 110)
        room = cell.room
        if min(room.width, room.height) < 4:
            return
        if max(rect.width, rect.height) > wanted * 1.55:
            axis = 0 if rect.width > rect.height else 1
            low, high = (rect.x0, rect.x1) if axis == 0 else (rect.y0, rect.y1)
            for part in self._cut(cell, axis, low + (high - low) * rng.uniform(0.36, 0.64), urban):
                self._divide(part)
            return
        small = min(room.width, room.height)
        if rng.random() < 0.1:
            names = [
                n for n in _RARE if small > 0.8 * FEATURES[n][2] and max(room.width, room.height) > 0.8 * FEATURES[n][1]
            ]
            if names:
                weight = np.array([_RARE[n] for n in names])
                draw = FEATURES[names[rng.choice(len(names), p=weight / weight.sum())]][0]
                self._add(room, lambda site: draw(site, room))
                return
        zones = [zone for zone in _ZONES if small > zone[2]] or [_ZONES[5], _ZONES[10]]
        weights = np.array([country * (1 - urban) + town * urban for country, town, _, _ in zones]) + 1e-9
        zone = zones[rng.choice(len(zones), p=weights / weights.sum())][3]
        self._add(room, lambda site: zone(site, room))

    def _cut(self, cell: _Cell, axis: int, at: float, urban: float = 1.0) -> tuple[_Cell, _Cell]:
        span = max(cell.rect.width, cell.rect.height)
        wide = 13.0 if span > 420 else 9.0 if span > 190 else 7.0
        if urban < 0.35 and span < 420:
            wide = 4.0  # a field track
        self._street(axis, at, cell.rect, wide)
        return cell.cut(axis, at, wide / 2 + (2.5 if wide > 4 else 0.8))

    def _street(self, axis: int, at: float, rect: Rect, wide: float) -> None:
        ends = [[at, rect.y0], [at, rect.y1]] if axis == 0 else [[rect.x0, at], [rect.x1, at]]
        self._add_street(np.array(ends), wide)

    def _box(self, points: np.ndarray, margin: float) -> np.ndarray:
        pixels = self.ground.pixels(points)
        grow = margin / self.ground.gsd
        return np.concatenate([pixels.min(0) - grow, pixels.max(0) + grow])

    def _add(self, rect: Rect, draw: Callable[[Site], None]) -> None:
        t = np.linspace(0, 1, 9)[:, None]
        corners = np.array([[rect.x0, rect.y0], [rect.x1, rect.y0], [rect.x1, rect.y1], [rect.x0, rect.y1]])
        outline = np.concatenate([a + (b - a) * t for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])
        self._parts.append(Part(self._box(outline, 12), draw))

    def _add_street(self, ends: np.ndarray, wide: float) -> None:
        # long streets in pieces, so that a window draws only what it shows
        count = max(1, round(float(np.hypot(*(ends[1] - ends[0]))) / 320))
        stops = ends[0] + (ends[1] - ends[0]) * np.linspace(0, 1, count + 1)[:, None]
        for a, b in pairwise(stops):
            piece = np.array([a, b])
            box = self._box(a + (b - a) * np.linspace(0, 1, 9)[:, None], wide + 6)
            self._streets.append(Part(box, lambda site, piece=piece: street(site, piece, wide)))  # type: ignore[misc]


def _overlap(a: Rect, b: Rect) -> Rect:
    x0, y0 = max(a.x0, b.x0), max(a.y0, b.y0)
    return Rect(x0, y0, max(x0, min(a.x1, b.x1)), max(y0, min(a.y1, b.y1)))


def street(site: Site, ends: np.ndarray, wide: float) -> None:
    """A street of ``wide`` metres with sidewalks, markings, traffic and trees; below 5 m a field track."""
    rng = site.rng
    if wide < 5:
        site.line(ends, wide, Kind.ROAD, M.GRAVEL, Layer.ROAD)
        site.line(ends, wide * 0.3, Kind.ROAD, M.DRY_GRASS, Layer.ROAD)
        return
    direction = (ends[1] - ends[0]) / np.hypot(*(ends[1] - ends[0]))
    across = np.array([-direction[1], direction[0]])
    length = float(np.hypot(*(ends[1] - ends[0])))
    heading = float(np.arctan2(direction[1], direction[0]))
    site.line(ends, wide + 5, Kind.PAVED, M.PAVING, Layer.SIDEWALK)
    site.line(ends, wide, Kind.ROAD, M.ASPHALT, Layer.ROAD, tone=rng.uniform(0.9, 1.15))
    if wide >= 12:
        for off in (-0.2, 0.2):
            site.line(ends + off * across, 0.15, Kind.ROAD, M.PAINT_YELLOW, Layer.MARK)
    dashes = (-wide / 4, wide / 4) if wide >= 12 else (0.0,)
    for off in dashes:
        for at in np.arange(2, length - 3, 9.0):
            dash = ends[0] + direction * np.array([[at], [at + 3.2]]) + off * across
            site.line(dash, 0.2, Kind.ROAD, M.PAINT_WHITE, Layer.MARK, tone=0.9)
    if wide >= 8:
        for off in (-wide / 2 + 0.35, wide / 2 - 0.35):
            site.line(ends + off * across, 0.15, Kind.ROAD, M.PAINT_WHITE, Layer.MARK, tone=0.75)
    density = rng.uniform(14, 60)
    lanes = (-0.37, -0.13, 0.13, 0.37) if wide >= 12 else (-0.24, 0.24)
    for lane in lanes:
        at = 9 + rng.exponential(density)
        while at < length - 12:
            x, y = ends[0] + direction * at + lane * wide * across
            large = rng.random() < 0.13
            (things.truck if large else things.car)(
                site, x, y, heading + (np.pi if lane < 0 else 0.0) + rng.normal(0, 0.02)
            )
            at += (19 if large else 9) + rng.exponential(density)
    if 5 < wide < 12 and rng.random() < 0.5:  # parked cars
        side = rng.choice((-1, 1))
        for at in np.arange(10, length - 10, 6.4):
            if rng.random() < 0.4:
                x, y = ends[0] + direction * at + side * (wide / 2 + 0.1) * across
                things.car(site, x, y, heading)
    if rng.random() < 0.65:
        pitch = rng.uniform(9, 16)
        for side in (-1, 1):
            for at in np.arange(8, length - 8, pitch):
                if rng.random() < 0.7 * (1 - 0.5 * site.arid):
                    x, y = ends[0] + direction * (at + rng.normal(0, 0.6)) + side * (wide / 2 + 2.2) * across
                    things.tree(site, x, y, rng.uniform(1.3, 2.8))
