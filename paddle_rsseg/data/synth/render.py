"""From shapes to light: painting labels and surfaces, texture, shadow, haze and the sensor."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from paddle_rsseg.data.synth import materials
from paddle_rsseg.data.synth.layout import Plan
from paddle_rsseg.data.synth.legends import IGNORE, Kind, Legend
from paddle_rsseg.data.synth.materials import Material
from paddle_rsseg.windows import Window, grid

TILE = 1024
_FIXED = 4  # binary digits of sub-pixel positions for cv2's painters
_HIGHEST = 50.0  # metres; nothing is higher, so no shadow is longer than this over the sun's slope


class Look:
    """What makes two days over the same place differ: exposure, haze, blur, noise. Drawn once a scene."""

    def __init__(self, rng: np.random.Generator, bands: int):
        self.haze = rng.uniform(0.004, 0.022)
        self.exposure = rng.uniform(0.88, 1.15)
        self.blur = rng.uniform(0.45, 0.75)  # Gaussian sigma of the optics, pixels
        self.noise = rng.uniform(0.006, 0.014)  # relative to the signal's square root
        self.ambient = rng.uniform(0.30, 0.42)  # what the sky alone gives, of full light, in blue
        # for all twelve bands, so that the rest of the scene does not depend on how many are asked for
        self.cast = 1 + rng.normal(0, 0.025, 12)[:bands]
        nm = np.array([np.mean(w) for w in materials.wavelengths(bands)])
        # air scatters blue more than infrared: haze and the light in shadows follow
        self.air = ((490 / nm) ** 2.2).astype(np.float32)
        self.sky = (self.ambient * (490 / nm) ** 0.75).astype(np.float32)


def hashed(x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Integers and a seed → uniform float32 in [-1, 1), the same for the same numbers anywhere."""
    h = x.astype(np.uint32) * np.uint32(0x9E3779B1) ^ y.astype(np.uint32) * np.uint32(0x85EBCA77)
    h += np.uint32(seed & 0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(16)
    return h.astype(np.float32) * np.float32(2.0**-31) - np.float32(1)


def noise(window: Window, cell: int, seed: int) -> np.ndarray:
    """Smooth noise of ``cell`` pixels, H×W float32 about in [-1, 1]; windows of one scene fit without a seam."""
    y0, x0 = window.y0 // cell - 2, window.x0 // cell - 2
    y1, x1 = -(-window.y1 // cell) + 2, -(-window.x1 // cell) + 2
    lattice = hashed(*np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), seed)  # type: ignore[call-arg]
    if cell > 1:
        lattice = cv2.resize(lattice, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
    top, left = window.y0 - y0 * cell, window.x0 - x0 * cell
    return lattice[top : top + window.height, left : left + window.width]


class Renderer:
    """Renders windows of a planned scene.

    Args:
        plan: what to draw.
        legend: classes of the labels.
        bands: 1-12.
        dtype: uint8 (display-like tones) or uint16 (reflectance × 10,000).
        label_noise: 0-1, share of objects with a wrong class; borders are blurred to match.
    """

    def __init__(self, plan: Plan, legend: Legend, bands: int, dtype: np.dtype, label_noise: float = 0.0):
        self.plan, self.legend, self.bands, self.dtype = plan, legend, bands, np.dtype(dtype)
        self.label_noise = label_noise
        rng = np.random.default_rng([*plan.seed, 0])
        self.look = Look(rng, bands)
        self._seeds = [int(s) for s in rng.integers(0, 2**32, 8)]
        self._ids = legend.table()
        self._spectra = materials.spectra(bands)
        self._textures = materials.textures()
        self._infrared = materials.infrared(bands)
        self._margin = int(np.ceil(_HIGHEST / plan.ground.sun.slope / plan.ground.gsd)) + 8

    def tiles(self, height: int, width: int) -> Iterator[tuple[Window, np.ndarray, np.ndarray]]:
        """(window, image H×W×C, label H×W) over the scene, row by row."""
        for window in grid(height, width, (TILE, TILE), (TILE, TILE)):
            # the last row and column are pulled back by the grid: draw only what is new
            y0 = -(-window.y0 // TILE) * TILE
            x0 = -(-window.x0 // TILE) * TILE
            fresh = Window(min(y0, window.y1), window.y1, min(x0, window.x1), window.x1)
            yield fresh, *self.tile(fresh)

    def tile(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Image H×W×C and label H×W uint8 of a window."""
        m = self._margin
        grown = Window(window.y0 - m, window.y1 + m, window.x0 - m, window.x1 + m)
        canvas, label = self._paint(grown)
        light = self._light(canvas)
        pad = 4  # enough for the blur
        core = np.s_[m - pad : m + window.height + pad, m - pad : m + window.width + pad]
        near = Window(window.y0 - pad, window.y1 + pad, window.x0 - pad, window.x1 + pad)
        radiance = self._radiance(canvas[core], light[core], near)
        image = self._sense(radiance[pad:-pad, pad:-pad], window)
        inside = np.s_[m : m + window.height, m : m + window.width]
        return image, self._jitter(label, window, m) if self.label_noise else label[inside]

    def _paint(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """H×W×4 uint8 (material, kind, half metres of height, hundredths of tone) and H×W labels."""
        canvas = np.empty((window.height, window.width, 4), np.uint8)
        canvas[:] = (Material.SAND if self.plan.arid > 0.5 else Material.GRASS, Kind.GROUND, 0, 100)
        wrong = np.full((window.height, window.width), IGNORE, np.uint8) if self.label_noise else None
        shapes = [(part, s) for part in self.plan.parts_in(window, 0) for s in self.plan.shapes(part)]
        shapes.sort(key=lambda item: item[1].layer)
        # cv2 counts from the centres of pixels, the plan from their corners
        origin = np.array([window.x0 + 0.5, window.y0 + 0.5])
        for part, shape in shapes:
            (x0, y0), (x1, y1) = shape.points.min(0) - shape.width, shape.points.max(0) + shape.width
            if x1 < window.x0 or y1 < window.y0 or x0 >= window.x1 or y0 >= window.y1:
                continue
            points = [np.rint((shape.points - origin) * (1 << _FIXED)).astype(np.int32)]
            value = (shape.material, shape.kind, min(2 * shape.height, 255), min(100 * shape.tone, 255))
            _draw(canvas, points, tuple(float(v) for v in value), shape.width)
            if wrong is not None:
                _draw(wrong, points, (float(self._mislabel(part, shape.thing, shape.kind)),), shape.width)
        label = self._ids[canvas[..., 1]]
        if wrong is not None:
            label = np.where(wrong == IGNORE, label, wrong)
        return canvas, label

    def _mislabel(self, part: int, thing: int, kind: Kind) -> int:
        """The class an object has in a noisy label: its own, or with the given probability another."""
        true = int(self._ids[kind])
        at = np.array([part]), np.array([thing])
        if (hashed(*at, self._seeds[6])[0] + 1) / 2 >= self.label_noise:
            return true
        other = int((hashed(*at, self._seeds[7])[0] + 1) / 2 * (len(self.legend.classes) - 1))
        return other if other < true else other + 1

    def _jitter(self, label: np.ndarray, window: Window, margin: int) -> np.ndarray:
        """Borders as a hurried hand draws them: every place is shifted by up to a few pixels."""
        reach = 14.0 * min(self.label_noise, 0.5)
        dx, dy = (reach * noise(window, 24, self._seeds[5] + k) for k in (0, 1))
        ys, xs = np.mgrid[margin : margin + window.height, margin : margin + window.width]
        return label[np.rint(ys + dy).astype(np.intp), np.rint(xs + dx).astype(np.intp)]

    def _light(self, canvas: np.ndarray) -> np.ndarray:
        """Share of direct sunlight, H×W float32 in 0-1: the shadows of everything that has a height."""
        sun, gsd = self.plan.ground.sun, self.plan.ground.gsd
        height = canvas[..., 2].astype(np.float32) * 0.5
        highest = float(height.max())
        blocked = height.copy()
        step, drop = 1.0, sun.slope * gsd  # a ray falls by this much a pixel
        # The highest obstacle towards the sun within 1, 2, 4, … pixels: each round doubles the distance.
        while step * drop < 2 * highest:
            dx, dy = round(step * sun.dx), round(step * sun.dy)
            moved = np.zeros_like(blocked)
            h, w = blocked.shape
            source = blocked[max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)]
            target = np.s_[max(-dy, 0) : h + min(-dy, 0), max(-dx, 0) : w + min(-dx, 0)]
            moved[target] = source - step * drop
            np.maximum(blocked, moved, out=blocked)
            step *= 2
        # 0.4 m of soft edge stands for the size of the sun and the roughness of edges
        light = np.clip(1 - (blocked - height) / 0.4, 0, 1)
        return cv2.GaussianBlur(light, (0, 0), max(0.5, 0.22 / gsd))

    def _radiance(self, canvas: np.ndarray, light: np.ndarray, window: Window) -> np.ndarray:
        """What reaches the sensor, H×W×C float32 reflectance."""
        gsd, look = self.plan.ground.gsd, self.look
        material = np.ascontiguousarray(canvas[..., 0])
        gain = canvas[..., 3].astype(np.float32) * np.float32(0.01)
        texture = np.ones_like(gain)
        slow = np.zeros_like(gain)
        for octave, metres in enumerate((0.6, 2.2, 8.0, 40.0)):
            field = noise(window, max(1, round(metres / gsd)), self._seeds[octave])
            texture += cv2.LUT(material, self._textures[octave]) * field
            if octave >= 1:
                slow += field
        gain *= np.maximum(texture, 0.25)
        mix = np.clip(0.5 + 0.45 * slow, 0, 1)  # which of a surface's two spectra
        out = np.empty((window.height, window.width, self.bands), np.float32)
        for band in range(self.bands):
            first = cv2.LUT(material, self._spectra[0, band])
            second = cv2.LUT(material, self._spectra[1, band])
            value = (first + mix * (second - first)) * gain
            value *= look.sky[band] + (1 - look.sky[band]) * light
            value *= np.float32(look.cast[band])
            value += np.float32(look.haze * look.air[band])
            out[..., band] = cv2.GaussianBlur(value, (0, 0), look.blur)
        return out

    def _sense(self, radiance: np.ndarray, window: Window) -> np.ndarray:
        """Noise and quantisation; 0 is left free for pixels without data."""
        rng = np.random.default_rng([*self.plan.seed, 0, window.y0, window.x0])
        grain = rng.standard_normal(radiance.shape, np.float32)
        signal = radiance + self.look.noise * np.sqrt(np.maximum(radiance, 0.0)) * grain
        if self.dtype == np.uint16:
            return np.clip(np.rint(signal * 10000), 1, 65535).astype(np.uint16)
        white = np.where(self._infrared, materials.WHITE["infrared"], materials.WHITE["visible"]).astype(np.float32)
        tone = np.clip(signal * (np.float32(self.look.exposure) / white), 0, 1) ** np.float32(1 / 1.6)
        return np.clip(np.rint(tone * 255), 1, 255).astype(np.uint8)


def _draw(canvas: np.ndarray, points: list[np.ndarray], value: tuple[float, ...], width: int) -> None:
    if width:
        cv2.polylines(canvas, points, False, value, width, cv2.LINE_8, _FIXED)
    else:
        cv2.fillPoly(canvas, points, value, cv2.LINE_8, _FIXED)
