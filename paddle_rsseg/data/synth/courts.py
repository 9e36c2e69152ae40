"""Sports grounds with their lines, in their true proportions."""

from __future__ import annotations

import numpy as np

from paddle_rsseg.data.synth.ground import Frame, Layer, Site, circle
from paddle_rsseg.data.synth.legends import Kind
from paddle_rsseg.data.synth.materials import Material as M


def _box(
    frame: Frame, x0: float, y0: float, x1: float, y1: float, width: float, kind: Kind, paint: M = M.PAINT_WHITE
) -> None:
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
    frame.line(corners, width, kind, paint, Layer.MARK)


def tennis(site: Site, x: float, y: float, angle: float) -> None:
    """A tennis court, 23.77 × 10.97 m inside a paved surround of 34 × 17 m; the label takes the lines' rectangle."""
    rng, kind = site.rng, Kind.TENNIS
    frame = site.frame(x, y, angle)
    inside = (M.COURT_BLUE, M.COURT_GREEN, M.CLAY)[rng.integers(3)]
    outside = M.COURT_GREEN if inside is M.COURT_BLUE or rng.random() < 0.4 else (M.CLAY, inside)[rng.integers(2)]
    frame.rectangle(-17, -8.4, 17, 8.4, Kind.PAVED, outside, Layer.SIDEWALK)
    a, b = 11.885, 5.485
    frame.rectangle(-a, -b, a, b, kind, inside, Layer.MARK)
    _box(frame, -a, -b, a, b, 0.2, kind)
    for at in (-4.115, 4.115):
        frame.line(np.array([[-a, at], [a, at]]), 0.2, kind, M.PAINT_WHITE, Layer.MARK)
    for at in (-6.4, 6.4):
        frame.line(np.array([[at, -4.115], [at, 4.115]]), 0.2, kind, M.PAINT_WHITE, Layer.MARK)
    frame.line(np.array([[-6.4, 0], [6.4, 0]]), 0.2, kind, M.PAINT_WHITE, Layer.MARK)
    frame.line(np.array([[0, -b], [0, b]]), 0.3, kind, M.BODY_BLACK, Layer.MARK, height=1.0)


def basketball(site: Site, x: float, y: float, angle: float) -> None:
    """A basketball court, 28 × 15 m."""
    rng, kind = site.rng, Kind.BASKETBALL
    frame = site.frame(x, y, angle)
    floor = (M.COURT_BLUE, M.COURT_GREEN, M.CLAY, M.OLD_ASPHALT)[rng.integers(4)]
    key = (M.CLAY, M.COURT_BLUE, M.COURT_GREEN)[rng.integers(3)]
    frame.rectangle(-16, -9, 16, 9, Kind.PAVED, M.OLD_ASPHALT, Layer.SIDEWALK)
    frame.rectangle(-14, -7.5, 14, 7.5, kind, floor, Layer.MARK)
    for side in (-1, 1):
        x0, x1 = sorted((side * 14.0, side * 8.2))
        frame.rectangle(x0, -2.45, x1, 2.45, kind, key, Layer.MARK)
        _box(frame, x0, -2.45, x1, 2.45, 0.2, kind)
        angles = np.linspace(-np.pi / 2, np.pi / 2, 17)
        arc = np.stack([side * (12.4 - 6.75 * np.cos(angles)), 6.75 * np.sin(angles)], 1)
        frame.line(arc, 0.2, kind, M.PAINT_WHITE, Layer.MARK)
        frame.rectangle(side * 13.0 - 0.4, -0.9, side * 13.0 + 0.4, 0.9, kind, M.BODY_WHITE, Layer.VEHICLE, 3.5)
    _box(frame, -14, -7.5, 14, 7.5, 0.2, kind)
    frame.line(np.array([[0, -7.5], [0, 7.5]]), 0.2, kind, M.PAINT_WHITE, Layer.MARK)
    frame.line(np.concatenate([circle(1.8), circle(1.8)[:1]]), 0.2, kind, M.PAINT_WHITE, Layer.MARK)


def soccer(frame: Frame, length: float, width: float) -> None:
    """A soccer field with mowing stripes; ``length`` × ``width`` metres."""
    kind, a, b = Kind.SOCCER, length / 2, width / 2
    frame.rectangle(-a, -b, a, b, kind, M.TURF, Layer.MARK)
    edges = np.linspace(-a, a, 15)
    for x0, x1 in zip(edges[:-1:2], edges[1::2], strict=True):
        frame.rectangle(x0, -b, x1, b, kind, M.TURF, Layer.MARK, tone=1.17)
    s = length / 105
    _box(frame, -a, -b, a, b, 0.4, kind)
    frame.line(np.array([[0, -b], [0, b]]), 0.4, kind, M.PAINT_WHITE, Layer.MARK)
    ring = np.concatenate([circle(9.15 * s, 32), circle(9.15 * s, 32)[:1]])
    frame.line(ring, 0.4, kind, M.PAINT_WHITE, Layer.MARK)
    for side in (-1, 1):
        for depth, half in ((16.5, 20.15), (5.5, 9.15)):
            x0, x1 = sorted((side * a, side * (a - depth * s)))
            _box(frame, x0, -half * s, x1, half * s, 0.4, kind)


def stadium(site: Site, x: float, y: float, angle: float, length: float) -> None:
    """A ground track field around a soccer field; ``length`` is 177 m for a 400 m track."""
    kind, s = Kind.TRACK, length / 177
    frame = site.frame(x, y, angle)
    track = M.CLAY if site.rng.random() < 0.75 else M.COURT_BLUE
    straight = 42.2 * s

    def oval(radius: float) -> np.ndarray:
        half = np.linspace(-np.pi / 2, np.pi / 2, 25)
        right = np.stack([straight + radius * np.cos(half), radius * np.sin(half)], 1)
        return np.concatenate([right, -right])

    outer, inner = 46.3 * s, 36.5 * s
    frame.polygon(oval(outer), kind, track, Layer.MARK)
    for radius in np.linspace(outer, inner, 9):
        line = oval(radius)
        frame.line(np.concatenate([line, line[:1]]), 0.15, kind, M.PAINT_WHITE, Layer.MARK, tone=0.8)
    frame.polygon(oval(inner - 0.4), kind, M.LAWN, Layer.MARK)
    field = site.frame(x, y, angle)
    soccer(field, 100 * s, 64 * s)


def baseball(site: Site, x: float, y: float, angle: float, radius: float) -> None:
    """A baseball diamond: clay infield and grass outfield in a quarter disc of ``radius`` metres.

    As in iSAID, the diamond is the clay fan with the square of grass in it.
    """
    kind = Kind.BASEBALL
    frame = site.frame(x, y, angle)
    home = np.array([-radius * 0.45, 0.0])

    def fan(reach: float, spread: float = np.pi / 4) -> np.ndarray:
        angles = np.linspace(-spread, spread, 25)
        return np.concatenate([[home], home + reach * np.stack([np.cos(angles), np.sin(angles)], 1)])

    frame.polygon(fan(radius), Kind.GRASS, M.TURF, Layer.SIDEWALK)
    infield = radius * 0.42
    frame.polygon(fan(infield), kind, M.SOIL, Layer.MARK, tone=1.1)
    frame.polygon(circle(radius * 0.06) + home, kind, M.SOIL, Layer.MARK, tone=1.1)
    a = infield * 0.62
    square = home + np.array([[a * 0.12, 0], [a * 0.75, -a * 0.62], [a * 1.38, 0], [a * 0.75, a * 0.62]])
    frame.polygon(square, kind, M.TURF, Layer.MARK)
    mound = home + np.array([a * 0.75, 0.0])
    frame.polygon(circle(radius * 0.025 + 0.6) + mound, kind, M.SOIL, Layer.MARK, tone=1.1)
    for side in (-1, 1):
        end = home + infield * np.array([np.cos(np.pi / 4), side * np.sin(np.pi / 4)])
        frame.line(np.array([home, end]), 0.3, kind, M.PAINT_WHITE, Layer.MARK)
