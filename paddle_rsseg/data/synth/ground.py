"""The drawing board: things are laid out in metres on a straight plane, which is then bent into the picture.

Streets are planned straight and blocks rectangular; one smooth bend and turn of the plane makes curved streets
and slanted fields of them. What is rigid in the world (a house, a car, a court) is drawn in a frame of its own,
which follows the bend with its place and direction but keeps its shape.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from paddle_rsseg.data.synth.legends import Kind
from paddle_rsseg.data.synth.materials import Material


class Layer(IntEnum):
    """The order in which shapes are painted."""

    LAND = 0
    WATER = 1
    SIDEWALK = 2
    ROAD = 3
    MARK = 4
    BUILT = 5
    VEHICLE = 6
    TREE = 7


class Shape(NamedTuple):
    """A polygon, or a line if ``width`` is not 0.

    Attributes:
        points: N×2 float64, (x, y) in pixels of the scene; (0, 0) is the top left corner of the first pixel.
        height: metres above the terrain; what is higher than its surroundings casts a shadow.
        tone: factor on the brightness of the material, 0-2.
        width: thickness of a line in whole pixels; 0: the points enclose a filled polygon.
        thing: number of the object the shape belongs to.
    """

    points: np.ndarray
    layer: Layer
    kind: Kind
    material: Material
    height: float
    tone: float
    width: int
    thing: int


class Sun(NamedTuple):
    """Direction to the sun: (dx, dy) on the picture, unit length, and the tangent of its elevation."""

    dx: float
    dy: float
    slope: float


class Ground:
    """From metres on the straight plane (origin at the centre of the scene, y downwards) to pixels.

    Args:
        rng: draws turn, bend and sun.
        height, width: of the scene in pixels.
        gsd: metres a pixel.
    """

    def __init__(self, rng: np.random.Generator, height: int, width: int, gsd: float):
        self.gsd = gsd
        self.size = (width * gsd, height * gsd)
        turn = rng.uniform(-0.3, 0.3)
        self._turn = turn
        self._rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        self._centre = np.array([width / 2, height / 2])
        lengths = np.array([260.0, 420.0, 700.0])
        directions = rng.uniform(0, 2 * np.pi, 3)
        self._waves = (2 * np.pi / lengths)[:, None] * np.stack([np.cos(directions), np.sin(directions)], 1)
        self._phases = rng.uniform(0, 2 * np.pi, 3)
        # amplitude / wavelength bounds the slope: streets turn by at most some 15 degrees each
        heading = rng.uniform(0, 2 * np.pi, 3)
        strength = rng.uniform(0.010, 0.026, 3) * lengths
        self._amplitudes = strength[:, None] * np.stack([np.cos(heading), np.sin(heading)], 1)
        azimuth = np.deg2rad(rng.uniform(105, 255))  # northern hemisphere, from morning to afternoon
        self.sun = Sun(float(np.sin(azimuth)), float(-np.cos(azimuth)), float(np.tan(np.deg2rad(rng.uniform(36, 58)))))

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """N×2 metres → N×2 pixels."""
        points = np.asarray(points, np.float64)
        bent = points + np.sin(points @ self._waves.T + self._phases) @ self._amplitudes
        return bent @ self._rotation / self.gsd + self._centre

    def turn(self, x: float, y: float, angle: float) -> float:
        """Direction on the picture (radians) of the direction ``angle`` at a point of the plane."""
        step = 2.0 * np.array([np.cos(angle), np.sin(angle)])
        a, b = self.pixels(np.array([np.array([x, y]) - step, np.array([x, y]) + step]))
        return float(np.arctan2(b[1] - a[1], b[0] - a[0]))


class Site:
    """Collects the shapes of one part of a scene.

    Attributes:
        rng: the only source of chance for this part.
        arid: 0 (green country) to 1 (desert).
    """

    def __init__(self, ground: Ground, rng: np.random.Generator, arid: float):
        self.ground = ground
        self.rng = rng
        self.arid = arid
        self.shapes: list[Shape] = []
        self.things = 0

    def area(
        self,
        points: np.ndarray,
        kind: Kind,
        material: Material,
        layer: Layer = Layer.LAND,
        height: float = 0.0,
        tone: float = 1.0,
    ) -> None:
        """Fill a polygon given in metres; long sides are bent with the plane."""
        points = np.asarray(points, np.float64)
        following = np.roll(points, -1, axis=0)
        pieces = []
        for a, b in zip(points, following, strict=True):
            steps = max(1, int(np.hypot(*(b - a)) // 12))
            pieces.append(a + (b - a) * (np.arange(steps) / steps)[:, None])
        self._add(self.ground.pixels(np.concatenate(pieces)), layer, kind, material, height, tone, 0)

    def rectangle(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        kind: Kind,
        material: Material,
        layer: Layer = Layer.LAND,
        height: float = 0.0,
        tone: float = 1.0,
    ) -> None:
        """:meth:`area` of a rectangle."""
        self.area(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), kind, material, layer, height, tone)

    def line(
        self,
        points: np.ndarray,
        width: float,
        kind: Kind,
        material: Material,
        layer: Layer = Layer.ROAD,
        height: float = 0.0,
        tone: float = 1.0,
    ) -> None:
        """A ribbon of ``width`` metres along points in metres, bent with the plane."""
        points = np.asarray(points, np.float64)
        pieces = []
        for a, b in pairwise(points):
            steps = max(1, int(np.hypot(*(b - a)) // 10))
            pieces.append(a + (b - a) * (np.arange(steps) / steps)[:, None])
        pieces.append(points[-1:])
        thickness = max(1, round(width / self.ground.gsd))
        self._add(self.ground.pixels(np.concatenate(pieces)), layer, kind, material, height, tone, thickness)

    def frame(self, x: float, y: float, angle: float = 0.0) -> Frame:
        """A rigid frame at a point of the plane; ``angle``: direction of its x axis there."""
        self.things += 1
        centre = self.ground.pixels(np.array([[x, y]]))[0]
        return Frame(self, centre, self.ground.turn(x, y, angle), self.things)

    def _add(
        self,
        pixels: np.ndarray,
        layer: Layer,
        kind: Kind,
        material: Material,
        height: float,
        tone: float,
        width: int,
        thing: int | None = None,
    ) -> None:
        if thing is None:
            self.things += 1
            thing = self.things
        self.shapes.append(Shape(pixels, layer, kind, material, height, tone, width, thing))


class Frame:
    """Where one rigid object is drawn, in metres from its own centre; all its shapes are one object."""

    def __init__(self, site: Site, centre: np.ndarray, angle: float, thing: int):
        self.site = site
        self.angle = angle
        self.thing = thing
        self._centre = centre
        cos, sin = np.cos(angle) / site.ground.gsd, np.sin(angle) / site.ground.gsd
        self._turn = np.array([[cos, sin], [-sin, cos]])

    def polygon(
        self, points: np.ndarray, kind: Kind, material: Material, layer: Layer, height: float = 0.0, tone: float = 1.0
    ) -> None:
        """A filled polygon, N×2 metres."""
        pixels = np.asarray(points, np.float64) @ self._turn + self._centre
        self.site._add(pixels, layer, kind, material, height, tone, 0, self.thing)

    def rectangle(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        kind: Kind,
        material: Material,
        layer: Layer,
        height: float = 0.0,
        tone: float = 1.0,
    ) -> None:
        """A filled rectangle."""
        self.polygon(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), kind, material, layer, height, tone)

    def disc(
        self,
        x: float,
        y: float,
        radius: float,
        kind: Kind,
        material: Material,
        layer: Layer,
        height: float = 0.0,
        tone: float = 1.0,
    ) -> None:
        """A filled circle."""
        self.polygon(circle(radius) + np.array([x, y]), kind, material, layer, height, tone)

    def line(
        self,
        points: np.ndarray,
        width: float,
        kind: Kind,
        material: Material,
        layer: Layer,
        height: float = 0.0,
        tone: float = 1.0,
    ) -> None:
        """A line of ``width`` metres, at least one pixel wide."""
        pixels = np.asarray(points, np.float64) @ self._turn + self._centre
        thickness = max(1, round(width / self.site.ground.gsd))
        self.site._add(pixels, layer, kind, material, height, tone, thickness, self.thing)

    def facing(self, x: float, y: float) -> float:
        """Cosine between the direction (x, y) of the frame and the sun: 1 towards it, -1 away."""
        turned = np.array([x, y]) @ self._turn * self.site.ground.gsd
        return float(turned @ (self.site.ground.sun.dx, self.site.ground.sun.dy) / max(np.hypot(x, y), 1e-9))


def circle(radius: float, count: int = 24) -> np.ndarray:
    """count×2 points of a circle."""
    angles = np.arange(count) * (2 * np.pi / count)
    return radius * np.stack([np.cos(angles), np.sin(angles)], 1)
