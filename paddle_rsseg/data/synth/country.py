"""What fills a block that is mostly green: parks, forest, orchards, fields, farms, waste land."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from paddle_rsseg.data.synth import courts, things
from paddle_rsseg.data.synth.blocks import Rect, scatter_trees
from paddle_rsseg.data.synth.ground import Layer, Site
from paddle_rsseg.data.synth.legends import Kind
from paddle_rsseg.data.synth.materials import Material as M


def park(site: Site, rect: Rect) -> None:
    """Meadow with winding paths, a pond, groves and sometimes a court."""
    rng = site.rng
    site.rectangle(*rect, Kind.GRASS, M.LAWN if rng.random() < 0.7 else M.GRASS)
    path = M.GRAVEL if rng.random() < 0.6 else M.OLD_ASPHALT
    for axis in (0, 1):
        t = np.linspace(0, 1, 9)
        sway = 0.5 + 0.22 * np.sin(2 * np.pi * t + rng.uniform(0, 6)) + rng.uniform(-0.1, 0.1)
        u, v = (t, sway) if axis == 0 else (sway, t)
        site.line(
            np.stack([rect.x0 + u * rect.width, rect.y0 + v * rect.height], 1), 2.2, Kind.PAVED, path, Layer.SIDEWALK
        )
    cx, cy = rect.x0 + rect.width * rng.uniform(0.3, 0.7), rect.y0 + rect.height * rng.uniform(0.3, 0.7)
    size = min(rect.width, rect.height)
    if rng.random() < 0.55:
        angles = np.linspace(0, 2 * np.pi, 49)[:-1]
        reach = (
            size
            * 0.17
            * (1 + 0.25 * np.sin(2 * angles + rng.uniform(0, 6)) + 0.12 * np.sin(5 * angles + rng.uniform(0, 6)))
        )
        shore = np.stack([cx + 1.5 * reach * np.cos(angles), cy + reach * np.sin(angles)], 1)
        site.area((shore - (cx, cy)) * 1.07 + (cx, cy), Kind.GROUND, M.SOIL, Layer.SIDEWALK)
        site.area(shore, Kind.WATER, M.RIVER, Layer.MARK)
    elif size > 45:
        courts.basketball(site, cx, cy, 0.0)
    for _ in range(int(4 + rect.width * rect.height / 900)):
        gx, gy = rng.uniform(rect.x0, rect.x1), rng.uniform(rect.y0, rect.y1)
        if abs(gx - cx) < size * 0.32 and abs(gy - cy) < size * 0.25:
            continue
        for _ in range(rng.integers(1, 7)):
            things.tree(site, gx + rng.normal(0, 5), gy + rng.normal(0, 5), rng.uniform(2.2, 5))


def forest(site: Site, rect: Rect) -> None:
    """Closed canopy with clearings."""
    rng = site.rng
    site.rectangle(*rect, Kind.GRASS, M.GRASS, tone=0.8)
    conifer = rng.random()
    clearing = np.array([rng.uniform(rect.x0, rect.x1), rng.uniform(rect.y0, rect.y1)])
    hollow = rng.uniform(0, 0.22) * min(rect.width, rect.height)
    pitch = 5.0
    for y in np.arange(rect.y0 + 2, rect.y1 - 1, pitch):
        for x in np.arange(rect.x0 + 2, rect.x1 - 1, pitch):
            at = np.array([x, y]) + rng.normal(0, 1.5, 2)
            if np.hypot(*(at - clearing)) > hollow and rng.random() < 0.93:
                things.tree(site, at[0], at[1], rng.uniform(2.3, 4.6), conifer=rng.random() < conifer)


def orchard(site: Site, rect: Rect) -> None:
    """Trees in a grid."""
    rng = site.rng
    site.rectangle(*rect, *((Kind.GROUND, M.SOIL) if rng.random() < max(0.4, site.arid) else (Kind.GRASS, M.DRY_GRASS)))
    pitch, radius = rng.uniform(6, 9), rng.uniform(1.7, 2.7)
    for y in np.arange(rect.y0 + pitch / 2, rect.y1, pitch):
        for x in np.arange(rect.x0 + pitch / 2, rect.x1, pitch):
            if rng.random() < 0.94:
                things.tree(site, x + rng.normal(0, 0.25), y + rng.normal(0, 0.25), radius * rng.uniform(0.8, 1.2))


def fields(site: Site, rect: Rect) -> None:
    """Two to four strips of crops with rows, tramlines and a hedge between some."""
    rng = site.rng
    axis = 0 if rect.width > rect.height else 1
    length = (rect.width, rect.height)[axis]
    count = int(np.clip(round(length / rng.uniform(45, 90)), 1, 4))
    cuts = np.concatenate([[0], np.sort(rng.uniform(0.15, 0.85, count - 1)), [1]]) * length
    for a, b in pairwise(cuts):
        if b - a < 4:
            continue
        strip = (
            Rect(rect.x0 + a, rect.y0, rect.x0 + b, rect.y1)
            if axis == 0
            else Rect(rect.x0, rect.y0 + a, rect.x1, rect.y0 + b)
        )
        strip = strip.inset(1.2)
        crop = (M.CROP, M.RIPE, M.SOIL, M.GRASS, M.CROP)[rng.integers(5)]
        # ploughed soil and stubble carry no crop
        kind = Kind.GROUND if crop is M.SOIL else Kind.CROP
        tone = rng.uniform(0.85, 1.15)
        site.rectangle(*strip, kind, crop, tone=tone)
        rows_axis = int(rng.integers(2))
        span, across = (strip.width, strip.height) if rows_axis == 1 else (strip.height, strip.width)
        pitch = max(rng.uniform(1.6, 3.2), 3.0 * site.ground.gsd)

        def row(
            v: float,
            wide: float,
            material: M,
            tone: float,
            strip: Rect = strip,
            rows_axis: int = rows_axis,
            kind: Kind = kind,
            span: float = span,
        ) -> None:
            ends = np.array([[0.0, v], [span, v]])
            ends = ends if rows_axis == 1 else ends[:, ::-1]
            site.line(ends + np.array([strip.x0, strip.y0]), wide, kind, material, Layer.LAND, tone=tone)

        for v in np.arange(pitch / 2, across, pitch):
            row(float(v), pitch * 0.45, crop, tone * 0.86)
        for v in np.arange(rng.uniform(4, 9), across - 2, rng.uniform(16, 24)):
            row(float(v - 0.9), 0.5, M.SOIL, 0.9)
            row(float(v + 0.9), 0.5, M.SOIL, 0.9)
        if rng.random() < 0.4 * (1 - site.arid):
            edge = np.arange(strip.y0, strip.y1, 5.0) if axis == 0 else np.arange(strip.x0, strip.x1, 5.0)
            for at in edge:
                if rng.random() < 0.75:
                    x, y = (strip.x1, at) if axis == 0 else (at, strip.y1)
                    things.tree(site, x + rng.normal(0, 0.8), y + rng.normal(0, 0.8), rng.uniform(1.6, 3.6))


def farm(site: Site, rect: Rect) -> None:
    """A yard with barns and a house among fields."""
    rng = site.rng
    fields(site, rect)
    cx, cy = rect.centre
    yard = Rect(cx - 26, cy - 22, cx + 26, cy + 22)
    site.rectangle(*yard, Kind.GROUND, M.GRAVEL, Layer.SIDEWALK)
    site.line(np.array([[cx, cy], [cx, rect.y1 + 2]]), 4, Kind.ROAD, M.GRAVEL, Layer.SIDEWALK)
    things.house(site, cx - 14, cy - 12, 0.0, 13, 10, M.ROOF_RED)
    frame = site.frame(cx + 12, cy - 8, rng.normal(0, 0.05))
    things._pitched(frame, 0, 0, 13, 26, (M.ROOF_GREY, M.ROOF_BROWN)[rng.integers(2)], 8, hip=False, along=False)
    things.flat_roof(site.frame(cx - 12, cy + 12), -10, -6, 10, 6, M.ROOF_GREY, 6)
    things.truck(site, cx + 2, cy + 15, rng.uniform(0, 6))
    things.car(site, cx - 4, cy + 2, rng.uniform(0, 6))
    scatter_trees(site, Rect(yard.x0 - 4, yard.y0 - 8, yard.x1 + 4, yard.y0 - 1), 160)
    scatter_trees(site, Rect(yard.x1 + 2, yard.y0, yard.x1 + 10, yard.y1), 120)


def vacant(site: Site, rect: Rect) -> None:
    """Waste land: bare soil, wheel tracks, heaps, shrubs."""
    rng = site.rng
    site.rectangle(*rect, Kind.GROUND, M.SAND if site.arid > 0.5 else (M.SOIL, M.GRAVEL)[rng.integers(2)])
    for _ in range(int(rng.integers(2, 6))):
        a = np.array([rng.uniform(rect.x0, rect.x1), rng.uniform(rect.y0, rect.y1)])
        angles = np.arange(12) * np.pi / 6
        reach = min(rect.width, rect.height) * rng.uniform(0.08, 0.24) * rng.uniform(0.7, 1.3, 12)
        patch = a + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        patch = np.clip(patch, (rect.x0, rect.y0), (rect.x1, rect.y1))
        grass = rng.random() < 0.55 * (1 - site.arid)
        site.area(
            patch, Kind.GRASS if grass else Kind.GROUND, M.DRY_GRASS if grass else M.SOIL, tone=rng.uniform(0.85, 1.15)
        )
    for _ in range(2):
        t = np.linspace(0, 1, 8)
        track = np.stack(
            [rect.x0 + rect.width * t, rect.y0 + rect.height * (0.5 + 0.35 * np.sin(5 * t + rng.uniform(0, 6)))], 1
        )
        for off in (-0.8, 0.8):
            site.line(track + np.array([0, off]), 0.5, Kind.GROUND, M.SOIL, Layer.LAND, tone=0.82)
    scatter_trees(site, rect, 30, 1.0, 2.4)
