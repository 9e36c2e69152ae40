"""The rarer places, one or two classes each: airport, stadium, courts, tanks, harbour, river with bridges."""

from __future__ import annotations

import numpy as np

from paddle_rsseg.data.synth import blocks, courts, things
from paddle_rsseg.data.synth.blocks import Rect
from paddle_rsseg.data.synth.ground import Layer, Site, circle
from paddle_rsseg.data.synth.legends import Kind
from paddle_rsseg.data.synth.materials import Material as M

DECK = 5.0  # metres of a bridge above its water


def airport(site: Site, rect: Rect) -> None:
    """Terminal, apron with parked planes, taxiway, and helicopter pads."""
    rng = site.rng
    site.rectangle(*rect, Kind.GRASS, M.DRY_GRASS)
    long_x = rect.width >= rect.height
    length, depth = (rect.width, rect.height) if long_x else (rect.height, rect.width)
    angle = 0.0 if long_x else np.pi / 2

    def place(u: float, v: float) -> tuple[float, float]:
        return (rect.x0 + u, rect.y0 + v) if long_x else (rect.x1 - v, rect.y0 + u)

    def box(u0: float, v0: float, u1: float, v1: float) -> np.ndarray:
        return np.array([place(u0, v0), place(u1, v0), place(u1, v1), place(u0, v1)])

    front = min(22.0, depth * 0.18)
    site.area(box(2, 2, length - 2, depth - 2), Kind.PAVED, M.CONCRETE, Layer.SIDEWALK)
    for u in np.arange(9, length - 4, 7.5):
        site.line(
            np.array([place(u, front), place(u, depth - 3)]), 0.3, Kind.PAVED, M.CONCRETE, Layer.SIDEWALK, tone=0.9
        )
    for v in np.arange(front, depth - 3, 7.5):
        site.line(np.array([place(3, v), place(length - 3, v)]), 0.3, Kind.PAVED, M.CONCRETE, Layer.SIDEWALK, tone=0.9)
    terminal = site.frame(*place(length * 0.5, front * 0.5 + 1), angle)
    half = length * 0.36
    things.flat_roof(
        terminal,
        -half,
        -front * 0.42,
        half,
        front * 0.42,
        (M.ROOF_WHITE, M.ROOF_GREY, M.ROOF_BLUE)[rng.integers(3)],
        12,
    )
    # a row of stands, noses to the terminal; as many as have room
    span = float(np.clip(min(depth * 0.36, length * 0.3), 14, 38))
    stand = span * 1.18
    count = max(1, int((length * 0.78) // stand))
    for index in range(count):
        u = length * 0.11 + (index + 0.5) * length * 0.78 / count
        v = front + span * 0.56 + 6
        lead = np.array([place(u, front + 4), place(u, min(v + span, depth - 12))])
        site.line(lead, 0.4, Kind.PAVED, M.PAINT_YELLOW, Layer.MARK)
        if rng.random() < 0.8 or index == 0:
            things.plane(site, *place(u, v), angle - np.pi / 2, span * rng.uniform(0.82, 1.0))
            for _ in range(3):
                cu, cv = (
                    u + span * rng.choice((-1, 1)) * rng.uniform(0.25, 0.4),
                    v + span * rng.choice((-0.48, 0.42)) + rng.normal(0, 1),
                )
                (things.car if rng.random() < 0.6 else things.truck)(
                    site, *place(cu, cv), angle + rng.choice((0.0, np.pi / 2))
                )
    taxi = min(front + span * 1.2 + 16, depth - 14)
    site.area(box(2, taxi - 7, length - 2, taxi + 7), Kind.PAVED, M.ASPHALT, Layer.SIDEWALK)
    site.line(np.array([place(3, taxi), place(length - 3, taxi)]), 0.4, Kind.PAVED, M.PAINT_YELLOW, Layer.MARK)
    if depth - taxi > 60:  # room for a second row beyond the taxiway
        for u in np.arange(stand * 0.7, length - stand * 0.4, stand * 1.1):
            if rng.random() < 0.6:
                things.plane(site, *place(u, taxi + 14 + span * 0.6), angle + np.pi / 2, span * 0.8)
    # pads stand in the corners away from the terminal, beyond the taxiway where the apron is deep enough
    pad_v = depth - 12 if depth - taxi > 30 else front + 10
    for index in range(2):
        helipad(
            site, *place(12 if index == 0 else length - 12, pad_v), angle, occupied=index == 0 or rng.random() < 0.6
        )


def helipad(site: Site, x: float, y: float, angle: float, occupied: bool = True) -> None:
    """A square pad with its circled H, and a helicopter on it."""
    frame = site.frame(x, y, angle)
    frame.rectangle(-9, -9, 9, 9, Kind.PAVED, M.ASPHALT, Layer.ROAD)
    frame.line(np.concatenate([circle(7), circle(7)[:1]]), 0.5, Kind.PAVED, M.PAINT_YELLOW, Layer.MARK)
    for bar in ([[-1.5, -2.5], [-1.5, 2.5]], [[1.5, -2.5], [1.5, 2.5]], [[-1.5, 0], [1.5, 0]]):
        frame.line(np.array(bar), 0.6, Kind.PAVED, M.PAINT_WHITE, Layer.MARK)
    if occupied:
        things.helicopter(site, x, y, angle + site.rng.uniform(0, 2 * np.pi))


def sports(site: Site, rect: Rect) -> None:
    """A stadium with its track, and a second soccer field or courts beside it where there is room."""
    rng = site.rng
    site.rectangle(*rect, Kind.GRASS, M.LAWN)
    long_x = rect.width >= rect.height
    length, depth = (rect.width, rect.height) if long_x else (rect.height, rect.width)
    angle = 0.0 if long_x else np.pi / 2

    def place(u: float, v: float) -> tuple[float, float]:
        return (rect.x0 + u, rect.y0 + v) if long_x else (rect.x1 - v, rect.y0 + u)

    size = float(min(177.0, length - 6, (depth - 6) * 177 / 93))
    track_depth = size * 93 / 177
    courts.stadium(site, *place(size / 2 + 3, track_depth / 2 + 3), angle, size)
    stand = site.frame(*place(size / 2 + 3, track_depth + 9), angle)
    if depth - track_depth > 16:
        half = size * 0.22
        for step in range(4):
            stand.rectangle(
                -half,
                -4 + 2 * step,
                half,
                -2 + 2 * step,
                Kind.BUILDING,
                M.CONCRETE,
                Layer.BUILT,
                3 + 2 * step,
                0.8 + 0.12 * step,
            )
    left = depth - track_depth - 18
    if left > 40:
        field = site.frame(*place(length * 0.3, depth - left / 2), angle)
        courts.soccer(field, min(100.0, length * 0.55, (left - 6) * 1.5), min(66.0, left - 6, length * 0.55 / 1.5))
        if length * 0.36 > 36 and left > 20:
            courts.basketball(site, *place(length * 0.8, depth - left * 0.7), angle)
            courts.tennis(site, *place(length * 0.8, depth - left * 0.7 + 20), angle)
    elif length - size > 20:
        for at in np.arange(20, depth - 18, 36):
            (courts.basketball if rng.random() < 0.4 else courts.tennis)(
                site, *place(length - (length - size) / 2 + 2, at), angle + np.pi / 2
            )
    for at in np.arange(3, length, rng.uniform(7, 11)):
        things.tree(site, *place(at, depth - 1.5), rng.uniform(1.8, 3.2))


def courts_park(site: Site, rect: Rect) -> None:
    """A baseball diamond, tennis and basketball courts and a large pool, as many as there is room for."""
    rng = site.rng
    site.rectangle(*rect, Kind.GRASS, M.LAWN)
    long_x = rect.width >= rect.height
    length, depth = (rect.width, rect.height) if long_x else (rect.height, rect.width)
    angle = 0.0 if long_x else np.pi / 2

    def place(u: float, v: float) -> tuple[float, float]:
        return (rect.x0 + u, rect.y0 + v) if long_x else (rect.x1 - v, rect.y0 + u)

    # The diamond's fan is as deep as the block or half as long; courts stand in a grid beside it.
    reach = float(np.clip(min(depth * 0.68, (length - 42) * 1.0), 22, 75))
    courts.baseball(site, *place(length - reach * 0.6, depth / 2), angle, reach)
    beside = max(length - reach * 1.1, 36.0)
    columns, rows = max(1, int(beside // 36)), max(3, int(depth // 20))
    cells = [(column, row) for row in range(rows) for column in range(columns)]
    pitch = depth / rows
    for number, (column, row) in enumerate(cells):
        at = place(18.0 + column * 36, (row + 0.5) * pitch)
        what = number if number < 3 else int(rng.integers(5))
        if what == 0:
            courts.basketball(site, *at, angle)
        elif what == 1:
            things.pool(site, *at, angle, 25, 12.5 if pitch > 17 else 9)
        elif what in (2, 3):
            courts.tennis(site, *at, angle)
        else:
            things.flat_roof(site.frame(*at, angle), -11, -5, 11, 5, M.ROOF_GREY, 5)
    for _ in range(int(length / 8)):
        things.tree(site, *place(rng.uniform(0, length), depth - rng.uniform(0, 1)), rng.uniform(1.6, 2.6))


def tanks(site: Site, rect: Rect) -> None:
    """A tank farm inside bunds, with pipes."""
    rng = site.rng
    site.rectangle(*rect, Kind.GROUND, (M.GRAVEL, M.CONCRETE, M.SOIL)[rng.integers(3)])
    y = rect.y0 + 2
    while y + 14 < rect.y1:
        radius = float(min(rng.choice((5.0, 8.0, 12.0, 16.0)), (rect.y1 - y) / 2 - 2, rect.width / 2 - 3))
        pitch = 2 * radius + rng.uniform(4, 8)
        for x in np.arange(rect.x0 + radius + 3, rect.x1 - radius - 2, pitch):
            if rng.random() < 0.9:
                things.tank(site, x, y + radius + 1, radius)
        y += 2 * radius + 4
        for off in (0.0, 0.9):
            site.line(
                np.array([[rect.x0 + 2, y + off], [rect.x1 - 2, y + off]]),
                0.35,
                Kind.GROUND,
                M.BODY_SILVER,
                Layer.MARK,
                0.8,
            )
        y += 3.5
    edge = rect.inset(0.6)
    ring = np.array(
        [(edge.x0, edge.y0), (edge.x1, edge.y0), (edge.x1, edge.y1), (edge.x0, edge.y1), (edge.x0, edge.y0)]
    )
    site.line(ring, 0.9, Kind.GROUND, M.CONCRETE, Layer.MARK, 1.2)


def roundabout(site: Site, rect: Rect) -> None:
    """A roundabout in the middle of the block, its four arms reaching the streets around."""
    rng = site.rng
    corners = [Rect(*values) for values in _quarters(rect)]
    for corner in corners:
        (blocks.residential if corner.width > 45 and corner.height > 45 else blocks.turf)(site, corner.inset(8))
        blocks.scatter_trees(site, corner.inset(7), 25)
    cx, cy = rect.centre
    outer = float(np.clip(min(rect.width, rect.height) * 0.24, 12, 24))
    for points in ([[rect.x0 - 6, cy], [rect.x1 + 6, cy]], [[cx, rect.y0 - 6], [cx, rect.y1 + 6]]):
        site.line(np.array(points), 12, Kind.PAVED, M.PAVING, Layer.SIDEWALK)
        site.line(np.array(points), 8, Kind.ROAD, M.ASPHALT, Layer.ROAD)
    frame = site.frame(cx, cy)
    frame.disc(0, 0, outer + 2.2, Kind.PAVED, M.PAVING, Layer.SIDEWALK)
    frame.polygon(circle(outer, 48), Kind.ROUNDABOUT, M.ASPHALT, Layer.ROAD)
    inner = outer * 0.52
    ring = np.concatenate([circle(outer * 0.78, 48), circle(outer * 0.78, 48)[:1]])
    frame.line(ring, 0.25, Kind.ROUNDABOUT, M.PAINT_WHITE, Layer.MARK, tone=0.9)
    frame.polygon(circle(inner + 0.8, 48), Kind.ROUNDABOUT, M.CONCRETE, Layer.MARK)
    frame.polygon(circle(inner, 48), Kind.ROUNDABOUT, M.LAWN if site.arid < 0.6 else M.PAVING, Layer.MARK)
    frame.polygon(circle(inner * 0.45, 32), Kind.ROUNDABOUT, M.TREE if rng.random() < 0.5 else M.CLAY, Layer.MARK, 1.0)
    for start in rng.uniform(0, 2 * np.pi, rng.integers(2, 5)):
        r = outer * 0.87
        things.car(site, cx + r * np.cos(start), cy + r * np.sin(start), start - np.pi / 2)


def _quarters(rect: Rect) -> list[tuple[float, float, float, float]]:
    cx, cy = rect.centre
    return [(a, b, c, d) for a, c in ((rect.x0, cx), (cx, rect.x1)) for b, d in ((rect.y0, cy), (cy, rect.y1))]


def river(site: Site, rect: Rect, along_x: bool, bridges: list[float], wide: float) -> None:
    """A river through the long strip ``rect``; ``bridges``: where along it, ``wide``: width of their road in metres."""
    rng = site.rng
    length, depth = (rect.width, rect.height) if along_x else (rect.height, rect.width)

    def place(points: np.ndarray) -> np.ndarray:
        points = points if along_x else points[:, ::-1]
        return points + np.array([rect.x0, rect.y0])

    t = np.arange(0, length + 12, 12.0)
    phase = rng.uniform(0, 2 * np.pi, 4)
    # banks wander inside the strip
    top = depth * (0.13 + 0.05 * np.sin(t / 37 + phase[0]) + 0.04 * np.sin(t / 13 + phase[1]))
    low = depth * (0.87 + 0.05 * np.sin(t / 41 + phase[2]) + 0.04 * np.sin(t / 15 + phase[3]))
    banks = np.concatenate([np.stack([t, top], 1), np.stack([t, low], 1)[::-1]])
    strip = np.array([[0, 0], [length, 0], [length, depth], [0, depth]])
    site.area(place(strip), *((Kind.GROUND, M.SAND) if site.arid > 0.5 else (Kind.GRASS, M.GRASS)))
    site.area(place((banks - (0, depth / 2)) * (1, 1.08) + (0, depth / 2)), Kind.GROUND, M.SOIL, Layer.LAND)
    site.area(place(banks), Kind.WATER, M.RIVER, Layer.WATER)
    middle = (banks - (0, depth / 2)) * (1, 0.66) + (0, depth / 2)
    site.area(place(middle), Kind.WATER, M.RIVER, Layer.WATER, tone=0.88)
    for _ in range(int(length / 9 * (1 - site.arid))):
        u, side = rng.uniform(0, length), rng.integers(2)
        v = depth * (0.04 if side == 0 else 0.96) + rng.normal(0, 1)
        x, y = place(np.array([[u, v]]))[0]
        things.tree(site, x, y, rng.uniform(1.8, 4))
    for u in bridges:
        road = place(np.array([[u, -4.0], [u, depth + 4.0]]))
        deck = place(np.array([[u, depth * 0.02], [u, depth * 0.98]]))
        site.line(road, wide + 1, Kind.ROAD, M.ASPHALT, Layer.ROAD)
        for half, surface in ((wide / 2 + 1.2, M.CONCRETE), (wide / 2, M.OLD_ASPHALT)):
            shift = np.array([half, 0.0] if along_x else [0.0, half])
            site.area(np.concatenate([deck - shift, deck[::-1] + shift]), Kind.BRIDGE, surface, Layer.BUILT, DECK)
        for off in (-0.15, 0.15):
            site.line(deck + ((off, 0) if along_x else (0, off)), 0.2, Kind.BRIDGE, M.PAINT_WHITE, Layer.BUILT, DECK)
        heading = np.pi / 2 if along_x else 0.0
        for lane in (-1, 1):
            at = rng.uniform(3, 14)
            while at < depth - 3:
                x, y = place(np.array([[u + lane * wide / 4, at]]))[0]
                (things.truck if rng.random() < 0.15 else things.car)(
                    site, x, y, heading + (0 if lane > 0 else np.pi), DECK
                )
                at += rng.uniform(9, 40)
    for _ in range(int(rng.poisson(length / 120))):
        u, v = rng.uniform(0, length), depth * rng.uniform(0.35, 0.65)
        if all(abs(u - at) > wide + 14 for at in bridges):
            heading = (0.0 if along_x else np.pi / 2) + rng.choice((0, np.pi)) + rng.normal(0, 0.1)
            x, y = place(np.array([[u, v]]))[0]
            things.ship(site, x, y, heading, rng.choice((8.0, 14.0, 34.0)))


def harbour(site: Site, rect: Rect, side: int, start: float, stop: float) -> None:
    """The sea in ``rect`` and a harbour on its shore.

    Args:
        side: where the sea lies seen from the land: 0 left, 1 above, 2 right, 3 below.
        start, stop: the stretch of shore, metres along the plane's axis, that has piers; the rest is beach.
    """
    rng = site.rng
    along_x = side in (1, 3)
    depth = rect.height if along_x else rect.width

    def place(u: float | np.ndarray, v: float | np.ndarray) -> np.ndarray:
        """Along the shore and away from it → plane."""
        u, v = np.broadcast_arrays(np.asarray(u, float), np.asarray(v, float))
        if side == 0:
            x, y = rect.x1 - v, u
        elif side == 1:
            x, y = u, rect.y1 - v
        elif side == 2:
            x, y = rect.x0 + v, u
        else:
            x, y = u, rect.y0 + v
        return np.stack([x, y], -1)

    first, last = (rect.x0, rect.x1) if along_x else (rect.y0, rect.y1)
    out = {0: np.pi, 1: -np.pi / 2, 2: 0.0, 3: np.pi / 2}[side]
    site.rectangle(*rect, Kind.WATER, M.SEA)
    t = np.arange(first, last + 15, 15.0)
    for reach, tone in ((46.0, 1.12), (32.0, 1.25)):
        line = reach + 5 * np.sin(t / 40 + rng.uniform(0, 6)) + 3 * np.sin(t / 13)
        shoal = np.concatenate([place(t, line), place(t, 0.0)[::-1]])
        site.area(shoal, Kind.WATER, M.SEA, Layer.LAND, tone=tone)
    beach = 11 + 3 * np.sin(t / 29 + rng.uniform(0, 6)) + 1.5 * np.sin(t / 9)
    site.area(np.concatenate([place(t, beach + 2.5), place(t, 0.0)[::-1]]), Kind.GROUND, M.SAND, Layer.LAND, tone=0.72)
    site.area(np.concatenate([place(t, beach), place(t, 0.0)[::-1]]), Kind.GROUND, M.SAND, Layer.LAND)
    quay = 15.0
    corners = np.array([place(start, 0), place(stop, 0), place(stop, quay), place(start, quay)])
    dredged = np.array([place(start - 8, 0), place(stop + 8, 0), place(stop + 8, depth), place(start - 8, depth)])
    site.area(dredged, Kind.WATER, M.SEA, Layer.WATER, tone=0.95)
    site.area(corners, Kind.HARBOUR, M.CONCRETE, Layer.BUILT, 2.0)
    u = start + rng.uniform(8, 14)
    reach = float(np.clip(depth * 0.75, 30, 85))
    big_left = 1
    while u < stop - 8:
        if big_left and stop - u > 60 and reach > 50:
            # a cargo pier with a ship on either side
            pier = np.array([place(u - 9, 0), place(u + 9, 0), place(u + 9, reach), place(u - 9, reach)])
            site.area(pier, Kind.HARBOUR, M.CONCRETE, Layer.BUILT, 2.0)
            for v in np.arange(20, reach - 6, 7):
                for lane in (-5, -2, 1, 4):
                    if rng.random() < 0.55:
                        x, y = place(u + lane, v)
                        box = site.frame(x, y, out)
                        box.rectangle(
                            -3, -1.2, 3, 1.2, Kind.HARBOUR, things._BOX_PAINT[rng.integers(7)], Layer.BUILT, 5
                        )
            size = min(reach * 0.85, 70.0)
            x, y = place(u + 10.5 + size * 0.095, quay + 4 + size / 2)
            things.ship(site, x, y, out, size)
            big_left -= 1
            u += 18 + size * 0.38 + 12
            continue
        finger = reach * rng.uniform(0.55, 0.75)
        site.line(
            np.array([place(u, 0), place(u, finger)]),
            3.2,
            Kind.HARBOUR,
            M.WOOD if rng.random() < 0.6 else M.CONCRETE,
            Layer.BUILT,
            1.5,
        )
        for hand in (-1, 1):
            v = quay + 4
            while v < finger - 2:
                length = rng.uniform(7, 13)
                site.line(
                    np.array([place(u, v - 2.4), place(u + hand * length * 0.8, v - 2.4)]),
                    0.8,
                    Kind.HARBOUR,
                    M.WOOD,
                    Layer.BUILT,
                    1.0,
                )
                if rng.random() < 0.8 and start < u + hand * 10 < stop:
                    x, y = place(u + hand * (2.2 + length / 2), v)
                    things.ship(site, x, y, out + hand * np.pi / 2 * (1 if side in (1, 2) else -1), length)
                v += 5.2
        u += rng.uniform(31, 36)
    for v in np.arange(start + 5, stop - 6, rng.uniform(5, 8)):
        if rng.random() < 0.6:
            x, y = place(v, 5.5)
            (things.truck if rng.random() < 0.3 else things.car)(site, x, y, out + np.pi / 2, 2.0)
    for _ in range(int(rng.poisson((last - first) * depth / 9000))):
        x, y = place(rng.uniform(first, last), rng.uniform(min(reach + 20, depth * 0.8), depth))
        things.ship(site, x, y, rng.uniform(0, 2 * np.pi), rng.choice((7.0, 10.0, 12.0, 45.0), p=(0.4, 0.3, 0.2, 0.1)))


FEATURES = {
    # name: (drawn by, length and depth it likes in metres)
    "airport": (airport, 170.0, 120.0),
    "sports": (sports, 185.0, 125.0),
    "courts": (courts_park, 95.0, 80.0),
    "tanks": (tanks, 80.0, 70.0),
    "trucks": (blocks.truck_yard, 90.0, 75.0),
    "roundabout": (roundabout, 95.0, 95.0),
    "pools": (blocks.residential, 90.0, 70.0),
}
#: features that are not a block but cross the scene or lie at its side
STRIPS = ("river", "harbour")
