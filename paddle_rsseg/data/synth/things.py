"""Single objects, each drawn in a rigid frame: vehicles, ships, aircraft, trees, houses, tanks."""

from __future__ import annotations

import numpy as np

from paddle_rsseg.data.synth.ground import Frame, Layer, Site, circle
from paddle_rsseg.data.synth.legends import Kind
from paddle_rsseg.data.synth.materials import Material as M

_CAR_PAINT = (M.BODY_WHITE, M.BODY_SILVER, M.BODY_BLACK, M.BODY_RED, M.BODY_BLUE, M.BODY_YELLOW, M.BODY_GREEN)
_CAR_SHARE = (0.30, 0.26, 0.21, 0.09, 0.09, 0.03, 0.02)
_BOX_PAINT = (M.BODY_WHITE, M.BODY_RED, M.BODY_BLUE, M.BODY_YELLOW, M.BODY_GREEN, M.BODY_SILVER, M.CLAY)


def _paint(rng: np.random.Generator) -> M:
    return _CAR_PAINT[rng.choice(len(_CAR_PAINT), p=_CAR_SHARE)]


def _pointed(length: float, width: float, bow: float) -> np.ndarray:
    """A hull: a rectangle with a pointed front of ``bow`` metres."""
    a, b = length / 2, width / 2
    return np.array(
        [[-a, -b], [a - bow, -b], [a - bow * 0.35, -b * 0.6], [a, 0], [a - bow * 0.35, b * 0.6], [a - bow, b], [-a, b]]
    )


def car(site: Site, x: float, y: float, angle: float, base: float = 0.0) -> None:
    """A small vehicle heading along ``angle``; ``base`` is the height of what it stands on."""
    rng = site.rng
    frame = site.frame(x, y, angle)
    a, b = rng.uniform(4.0, 5.0) / 2, rng.uniform(1.75, 2.05) / 2
    paint, kind = _paint(rng), Kind.SMALL_VEHICLE
    body = [
        [-a, -b * 0.9],
        [-a * 0.8, -b],
        [a * 0.75, -b],
        [a, -b * 0.7],
        [a, b * 0.7],
        [a * 0.75, b],
        [-a * 0.8, b],
        [-a, b * 0.9],
    ]
    frame.polygon(np.array(body), kind, paint, Layer.VEHICLE, base + 1.5)
    frame.rectangle(a * 0.18, -b * 0.75, a * 0.48, b * 0.75, kind, M.GLASS, Layer.VEHICLE, base + 1.5)
    frame.rectangle(-a * 0.82, -b * 0.7, -a * 0.62, b * 0.7, kind, M.GLASS, Layer.VEHICLE, base + 1.5)


def truck(site: Site, x: float, y: float, angle: float, base: float = 0.0) -> None:
    """A large vehicle: a bus, a lorry or a lorry with a trailer."""
    rng, kind = site.rng, Kind.LARGE_VEHICLE
    frame = site.frame(x, y, angle)
    style = rng.integers(3)
    half = 1.3
    if style == 0:  # bus: one long box, hatches on its roof
        a = rng.uniform(5.5, 6.5)
        frame.rectangle(-a, -half, a, half, kind, _BOX_PAINT[rng.integers(len(_BOX_PAINT))], Layer.VEHICLE, base + 3)
        for at in (-0.5, 0.3):
            frame.rectangle(a * at, -0.6, a * at + 1.2, 0.6, kind, M.BODY_SILVER, Layer.VEHICLE, base + 3, 0.8)
        frame.rectangle(a - 0.6, -half, a, half, kind, M.GLASS, Layer.VEHICLE, base + 3)
        return
    a = rng.uniform(7.0, 8.2) if style == 1 else rng.uniform(3.6, 5.0)
    box = _BOX_PAINT[rng.choice(len(_BOX_PAINT), p=(0.5, 0.1, 0.12, 0.05, 0.05, 0.13, 0.05))]
    frame.rectangle(-a, -half, a - 2.8, half, kind, box, Layer.VEHICLE, base + 3.8)
    frame.rectangle(a - 2.8, -0.5, a - 2.3, 0.5, kind, M.BODY_BLACK, Layer.VEHICLE, base + 1)
    frame.rectangle(a - 2.3, -half * 0.95, a, half * 0.95, kind, _paint(rng), Layer.VEHICLE, base + 3)
    frame.rectangle(a - 0.5, -half * 0.8, a - 0.1, half * 0.8, kind, M.GLASS, Layer.VEHICLE, base + 3)


def ship(site: Site, x: float, y: float, angle: float, length: float) -> None:
    """A boat or, beyond 30 m, a ship with hatches or containers on deck."""
    rng, kind = site.rng, Kind.SHIP
    frame = site.frame(x, y, angle)
    width = length * (0.30 if length < 30 else 0.19)
    hull = (
        M.BODY_WHITE
        if length < 30 and rng.random() < 0.8
        else (M.BODY_SILVER, M.CLAY, M.BODY_BLUE, M.BODY_BLACK)[rng.integers(4)]
    )
    high = 1.2 + length * 0.05
    frame.polygon(_pointed(length, width, length * 0.3), kind, hull, Layer.VEHICLE, high)
    deck = M.WOOD if length < 30 else (M.CLAY, M.ROOF_GREY, M.BODY_GREEN)[rng.integers(3)]
    frame.polygon(_pointed(length * 0.86, width * 0.72, length * 0.26), kind, deck, Layer.VEHICLE, high)
    if length < 30:
        frame.rectangle(
            -length * 0.22, -width * 0.28, length * 0.12, width * 0.28, kind, M.BODY_WHITE, Layer.VEHICLE, high + 1.5
        )
        frame.rectangle(
            length * 0.05, -width * 0.26, length * 0.12, width * 0.26, kind, M.GLASS, Layer.VEHICLE, high + 1.5
        )
        return
    frame.rectangle(
        -length * 0.44, -width * 0.4, -length * 0.3, width * 0.4, kind, M.BODY_WHITE, Layer.VEHICLE, high + 9
    )
    start, loaded = -length * 0.27, rng.random() < 0.6
    while start < length * 0.24:
        if loaded:
            for lane in range(3):
                low = -width * 0.36 + lane * width * 0.24
                paint = _BOX_PAINT[rng.integers(len(_BOX_PAINT))]
                frame.rectangle(start, low, start + 6, low + width * 0.22, kind, paint, Layer.VEHICLE, high + 3)
        else:
            frame.rectangle(
                start, -width * 0.24, start + 5, width * 0.24, kind, M.BODY_SILVER, Layer.VEHICLE, high + 1, 0.7
            )
        start += 6.6


def plane(site: Site, x: float, y: float, angle: float, span: float) -> None:
    """An aeroplane with swept wings, engines and a tail; ``span`` in metres."""
    rng, kind = site.rng, Kind.PLANE
    frame = site.frame(x, y, angle)
    length, s = span * rng.uniform(1.0, 1.12), span / 2
    skin = M.BODY_WHITE if rng.random() < 0.75 else M.BODY_SILVER
    livery = _BOX_PAINT[rng.integers(1, 5)]
    nose, tail, r = length * 0.5, -length * 0.5, length * 0.052

    def mirrored(points: list[list[float]], material: M, height: float, tone: float = 1.0) -> None:
        half = np.array(points) * span
        frame.polygon(half, kind, material, Layer.VEHICLE, height, tone)
        frame.polygon(half * (1, -1), kind, material, Layer.VEHICLE, height, tone)

    mirrored([[0.13, 0.03], [-0.10, 0.48], [-0.155, 0.5], [-0.16, 0.47], [-0.06, 0.13], [-0.07, 0.03]], skin, 4.0, 0.93)
    mirrored([[-0.40, 0.02], [-0.49, 0.17], [-0.53, 0.18], [-0.50, 0.02]], skin, 5.0, 0.93)
    for side in (-1, 1):
        at = side * s * 0.36
        frame.rectangle(
            span * 0.0, at - span * 0.022, span * 0.11, at + span * 0.022, kind, M.BODY_SILVER, Layer.VEHICLE, 3.0, 0.75
        )
    body = [[tail, 0], [tail + length * 0.2, r], [nose - length * 0.1, r], [nose - length * 0.02, r * 0.5], [nose, 0]]
    frame.polygon(np.array(body + [[px, -py] for px, py in body[-2:0:-1]]), kind, skin, Layer.VEHICLE, 5.0)
    frame.rectangle(tail, -0.35, tail + length * 0.13, 0.35, kind, livery, Layer.VEHICLE, 11.0)
    frame.rectangle(nose - length * 0.045, -r * 0.5, nose - length * 0.03, r * 0.5, kind, M.GLASS, Layer.VEHICLE, 5.0)


def helicopter(site: Site, x: float, y: float, angle: float, base: float = 0.0) -> None:
    """A helicopter of 13 m with four rotor blades."""
    rng, kind = site.rng, Kind.HELICOPTER
    frame = site.frame(x, y, angle)
    paint = (M.BODY_RED, M.BODY_BLUE, M.BODY_YELLOW, M.BODY_GREEN, M.BODY_WHITE)[rng.integers(5)]
    frame.rectangle(-7.5, -0.45, -1.5, 0.45, kind, paint, Layer.VEHICLE, base + 2.5, 0.9)
    frame.rectangle(-7.8, -1.5, -6.8, 1.5, kind, paint, Layer.VEHICLE, base + 2.5)
    frame.polygon(circle(1.0, 16) * (3.4, 1.5) + (0.8, 0.0), kind, paint, Layer.VEHICLE, base + 3)
    frame.polygon(circle(1.0, 12) * (1.0, 1.0) + (3.0, 0.0), kind, M.GLASS, Layer.VEHICLE, base + 3)
    first = rng.uniform(0, np.pi / 2)
    for blade in range(4):
        tip = 5.8 * np.array([np.cos(first + blade * np.pi / 2), np.sin(first + blade * np.pi / 2)])
        frame.line(np.array([[0.4, 0.0], tip]), 0.4, kind, M.BODY_BLACK, Layer.VEHICLE, base + 3.5, 1.4)


def tree(site: Site, x: float, y: float, radius: float, conifer: bool = False) -> None:
    """A crown: ragged outline, dark rim, lit side towards the sun."""
    rng = site.rng
    frame = site.frame(x, y)
    count = 9 if radius < 4 else 13
    angles = (np.arange(count) + rng.uniform(0, 1)) * (2 * np.pi / count)
    ragged = (radius * rng.uniform(0.78, 1.12, count))[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    material = M.CONIFER if conifer else M.TREE
    high = radius * (2.2 if conifer else 1.5) + 1
    tone = rng.uniform(0.82, 1.18)
    frame.polygon(ragged, Kind.TREE, material, Layer.TREE, high * 0.7, tone * 0.78)
    # the frame is turned with the street; the sun is not
    sun, cos, sin = site.ground.sun, np.cos(frame.angle), np.sin(frame.angle)
    lit = radius * 0.22 * np.array([sun.dx * cos + sun.dy * sin, sun.dy * cos - sun.dx * sin])
    frame.polygon(ragged * 0.72 + lit, Kind.TREE, material, Layer.TREE, high, tone * 1.08)
    if radius > 2.6:
        frame.polygon(ragged[::2] * 0.36 + 1.5 * lit, Kind.TREE, material, Layer.TREE, high, tone * 1.36)


def house(site: Site, x: float, y: float, angle: float, width: float, depth: float, roof: M, high: float = 6.0) -> None:
    """A house of ``width`` × ``depth`` metres with a gabled or hipped roof, a wing, a chimney, solar panels."""
    rng, kind = site.rng, Kind.BUILDING
    frame = site.frame(x, y, angle)
    _pitched(frame, 0.0, 0.0, width, depth, roof, high, hip=rng.random() < 0.45, along=width >= depth)
    if rng.random() < 0.45:
        side = rng.choice((-1, 1))
        w, d = width * rng.uniform(0.35, 0.5), depth * rng.uniform(0.45, 0.7)
        _pitched(frame, side * (width - w) / 2, depth / 2 + d / 2 - 1, w, d, roof, high * 0.85, hip=False, along=False)
    if rng.random() < 0.6:
        cx = width * rng.uniform(-0.3, 0.3)
        frame.rectangle(cx - 0.5, -0.6, cx + 0.5, 0.6, kind, M.ROOF_BITUMEN, Layer.BUILT, high + 1.5)
    if rng.random() < 0.18:
        y0 = 0.8 if frame.facing(0, 1) > 0 else -0.8 - depth * 0.28
        frame.rectangle(-width * 0.3, y0, width * 0.25, y0 + depth * 0.28, kind, M.SOLAR, Layer.BUILT, high)


def _pitched(
    frame: Frame, x: float, y: float, width: float, depth: float, roof: M, high: float, hip: bool, along: bool
) -> None:
    """A roof whose ridge runs along x (``along``) or y; each slope is as bright as it faces the sun."""
    a, b = (width / 2, depth / 2) if along else (depth / 2, width / 2)
    ridge = max(a - b * 0.85, 0.0) if hip else a

    def slope(points: list[tuple[float, float]], nx: float, ny: float) -> None:
        corners = np.array(points)
        if not along:
            corners, nx, ny = corners[:, ::-1], ny, nx
        tone = 1.0 + 0.30 * frame.facing(nx, ny)
        frame.polygon(corners + np.array([x, y]), Kind.BUILDING, roof, Layer.BUILT, high, tone)

    slope([(-a, -b), (a, -b), (ridge, 0), (-ridge, 0)], 0, -1)
    slope([(-a, b), (a, b), (ridge, 0), (-ridge, 0)], 0, 1)
    if hip:
        slope([(a, -b), (a, b), (ridge, 0)], 1, 0)
        slope([(-a, -b), (-a, b), (-ridge, 0)], -1, 0)


def flat_roof(frame: Frame, x0: float, y0: float, x1: float, y1: float, roof: M, high: float) -> None:
    """A flat roof with parapet, machinery, skylights; anything from a flat to a hall."""
    rng, kind = frame.site.rng, Kind.BUILDING
    frame.rectangle(x0, y0, x1, y1, kind, roof, Layer.BUILT, high + 0.5, 1.16)
    frame.rectangle(x0 + 0.6, y0 + 0.6, x1 - 0.6, y1 - 0.6, kind, roof, Layer.BUILT, high, rng.uniform(0.88, 1.05))
    w, d = x1 - x0, y1 - y0
    if min(w, d) < 6:
        return
    if max(w, d) > 30 and rng.random() < 0.6:  # a hall: seams of its sheets and rows of skylights
        for at in np.arange(x0 + 3, x1 - 2, rng.uniform(5, 9)):
            frame.line(np.array([[at, y0 + 1], [at, y1 - 1]]), 0.4, kind, roof, Layer.BUILT, high, 0.82)
        if rng.random() < 0.5:
            for at in np.arange(x0 + 5, x1 - 5, 11):
                frame.rectangle(at, y0 + d * 0.25, at + 1.6, y0 + d * 0.75, kind, M.GLASS, Layer.BUILT, high, 1.5)
    for _ in range(int(min(12, 1 + w * d / 160))):
        cx, cy = rng.uniform(x0 + 2, x1 - 4), rng.uniform(y0 + 2, y1 - 4)
        unit = M.BODY_SILVER if rng.random() < 0.7 else M.ROOF_WHITE
        frame.rectangle(
            cx, cy, cx + rng.uniform(1.2, 2.4), cy + rng.uniform(1.2, 2.4), kind, unit, Layer.BUILT, high + 1.5
        )
    if min(w, d) > 12 and rng.random() < 0.5:  # stair head
        cx, cy = rng.uniform(x0 + 2, x1 - 7), rng.uniform(y0 + 2, y1 - 7)
        frame.rectangle(cx, cy, cx + 4.5, cy + 4, kind, roof, Layer.BUILT, high + 3, 1.12)


def tank(site: Site, x: float, y: float, radius: float) -> None:
    """A storage tank: cone or floating roof inside a rim."""
    rng, kind = site.rng, Kind.TANK
    frame = site.frame(x, y)
    skin = (M.ROOF_WHITE, M.BODY_SILVER, M.ROOF_GREY, M.CONCRETE)[rng.choice(4, p=(0.5, 0.25, 0.15, 0.1))]
    high = min(14.0, 4 + radius * 0.7)
    frame.disc(0, 0, radius, kind, skin, Layer.BUILT, high)
    if rng.random() < 0.4:
        frame.disc(0, 0, radius * 0.88, kind, skin, Layer.BUILT, high - 2.5, 0.72)
    else:
        lit = frame.facing(1, 0), frame.facing(0, 1)
        frame.disc(lit[0] * radius * 0.3, lit[1] * radius * 0.3, radius * 0.55, kind, skin, Layer.BUILT, high, 1.1)
    frame.line(np.array([[0, 0], [radius, 0]]), 0.5, kind, M.BODY_SILVER, Layer.BUILT, high, 0.7)


def pool(site: Site, x: float, y: float, angle: float, length: float, width: float) -> None:
    """A swimming pool with a paved rim, angular or rounded."""
    rng = site.rng
    frame = site.frame(x, y, angle)
    a, b = length / 2, width / 2
    frame.rectangle(-a - 1.5, -b - 1.5, a + 1.5, b + 1.5, Kind.PAVED, M.PAVING, Layer.MARK, tone=1.1)
    if length < 14 and rng.random() < 0.4:
        angles = np.arange(28) * (2 * np.pi / 28)
        bean = np.stack([a * np.cos(angles), b * np.sin(angles) + 0.35 * b * np.cos(2 * angles)], 1)
        frame.polygon(bean, Kind.POOL, M.POOL, Layer.MARK)
    else:
        frame.rectangle(-a, -b, a, b, Kind.POOL, M.POOL, Layer.MARK)
    if length > 20:  # lanes
        for at in np.linspace(-b, b, 7)[1:-1]:
            frame.line(np.array([[-a, at], [a, at]]), 0.2, Kind.POOL, M.POOL, Layer.MARK, tone=0.72)
