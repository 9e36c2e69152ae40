"""Surfaces: how much light each reflects in every band, and how rough it looks.

A surface has two spectra, and a slow noise moves every place between them: lush and dry grass, new and worn
asphalt. Numbers are reflectances 0-1, plausible for the material and meant to look right, not measured.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

# Wavelengths (nm) at which the tables below give reflectance: blue, green, red, red edge, near and short-wave infrared.
_KNOTS = (490, 560, 665, 705, 842, 1610, 2190)

#: bands in the order in which they are handed out: 3 gives RGB, 4 RGB and near infrared, 12 all of them
BANDS: tuple[tuple[str, int], ...] = (
    ("red", 665),
    ("green", 560),
    ("blue", 490),
    ("near infrared", 842),
    ("red edge 1", 705),
    ("shortwave infrared 1", 1610),
    ("shortwave infrared 2", 2190),
    ("coastal blue", 443),
    ("yellow", 605),
    ("red edge 2", 740),
    ("red edge 3", 783),
    ("narrow near infrared", 865),
)

_PAN = (490, 560, 605, 665)

#: reflectance that an 8-bit image shows as white, by wavelength
WHITE = {"visible": 0.50, "infrared": 0.75}


class Material(IntEnum):
    GRASS = 0
    LAWN = 1
    DRY_GRASS = 2
    TREE = 3
    CONIFER = 4
    CROP = 5
    RIPE = 6
    SOIL = 7
    SAND = 8
    GRAVEL = 9
    SEA = 10
    RIVER = 11
    POOL = 12
    ASPHALT = 13
    OLD_ASPHALT = 14
    CONCRETE = 15
    PAVING = 16
    PAINT_WHITE = 17
    PAINT_YELLOW = 18
    ROOF_RED = 19
    ROOF_BROWN = 20
    ROOF_GREY = 21
    ROOF_WHITE = 22
    ROOF_BITUMEN = 23
    ROOF_BLUE = 24
    ROOF_GREEN = 25
    COURT_GREEN = 26
    COURT_BLUE = 27
    CLAY = 28
    TURF = 29
    BODY_WHITE = 30
    BODY_SILVER = 31
    BODY_BLACK = 32
    BODY_RED = 33
    BODY_BLUE = 34
    BODY_YELLOW = 35
    BODY_GREEN = 36
    GLASS = 37
    WOOD = 38
    SOLAR = 39


# Two spectra each at _KNOTS, then the strength of the texture at about 0.5, 2, 8 and 40 m.
_TABLE: dict[Material, tuple[tuple[float, ...], tuple[float, ...], tuple[float, float, float, float]]] = {
    Material.GRASS: (
        (0.045, 0.085, 0.055, 0.13, 0.38, 0.22, 0.11), (0.075, 0.115, 0.105, 0.17, 0.31, 0.28, 0.17),
        (0.16, 0.16, 0.12, 0.10),
    ),
    Material.LAWN: (
        (0.035, 0.085, 0.040, 0.12, 0.44, 0.20, 0.09), (0.055, 0.110, 0.075, 0.15, 0.37, 0.24, 0.13),
        (0.08, 0.10, 0.10, 0.06),
    ),
    Material.DRY_GRASS: (
        (0.085, 0.125, 0.135, 0.18, 0.28, 0.32, 0.22), (0.120, 0.165, 0.205, 0.23, 0.30, 0.38, 0.29),
        (0.15, 0.15, 0.13, 0.12),
    ),
    Material.TREE: (
        (0.024, 0.052, 0.028, 0.09, 0.42, 0.18, 0.07), (0.034, 0.070, 0.046, 0.11, 0.38, 0.20, 0.09),
        (0.42, 0.30, 0.10, 0.10),
    ),
    Material.CONIFER: (
        (0.020, 0.038, 0.024, 0.06, 0.28, 0.12, 0.05), (0.026, 0.048, 0.032, 0.08, 0.30, 0.14, 0.06),
        (0.42, 0.28, 0.08, 0.08),
    ),
    Material.CROP: (
        (0.035, 0.080, 0.038, 0.12, 0.48, 0.21, 0.09), (0.060, 0.115, 0.075, 0.16, 0.42, 0.25, 0.13),
        (0.12, 0.10, 0.08, 0.12),
    ),
    Material.RIPE: (
        (0.085, 0.145, 0.170, 0.21, 0.33, 0.36, 0.25), (0.110, 0.180, 0.230, 0.26, 0.36, 0.42, 0.31),
        (0.10, 0.08, 0.07, 0.10),
    ),
    Material.SOIL: (
        (0.080, 0.110, 0.150, 0.17, 0.23, 0.33, 0.29), (0.120, 0.155, 0.205, 0.22, 0.28, 0.39, 0.34),
        (0.10, 0.12, 0.12, 0.14),
    ),
    Material.SAND: (
        (0.170, 0.230, 0.300, 0.32, 0.38, 0.49, 0.45), (0.220, 0.290, 0.360, 0.38, 0.44, 0.54, 0.50),
        (0.06, 0.09, 0.10, 0.09),
    ),
    Material.GRAVEL: (
        (0.140, 0.165, 0.185, 0.19, 0.22, 0.28, 0.26), (0.190, 0.215, 0.235, 0.24, 0.27, 0.32, 0.30),
        (0.20, 0.12, 0.09, 0.08),
    ),
    Material.SEA: (
        (0.060, 0.062, 0.032, 0.020, 0.008, 0.003, 0.002), (0.075, 0.090, 0.045, 0.026, 0.010, 0.004, 0.003),
        (0.10, 0.09, 0.05, 0.08),
    ),
    Material.RIVER: (
        (0.055, 0.075, 0.058, 0.045, 0.018, 0.005, 0.003), (0.070, 0.095, 0.078, 0.060, 0.024, 0.006, 0.004),
        (0.06, 0.07, 0.05, 0.08),
    ),
    Material.POOL: (
        (0.300, 0.290, 0.120, 0.075, 0.020, 0.006, 0.004), (0.360, 0.370, 0.180, 0.110, 0.028, 0.007, 0.005),
        (0.07, 0.05, 0.02, 0.00),
    ),
    Material.ASPHALT: (
        (0.075, 0.080, 0.084, 0.086, 0.095, 0.12, 0.12), (0.105, 0.112, 0.118, 0.12, 0.130, 0.16, 0.15),
        (0.06, 0.05, 0.07, 0.06),
    ),
    Material.OLD_ASPHALT: (
        (0.125, 0.132, 0.140, 0.143, 0.155, 0.19, 0.18), (0.160, 0.170, 0.182, 0.185, 0.200, 0.23, 0.22),
        (0.07, 0.07, 0.09, 0.06),
    ),
    Material.CONCRETE: (
        (0.220, 0.245, 0.262, 0.27, 0.300, 0.34, 0.31), (0.280, 0.305, 0.322, 0.33, 0.355, 0.39, 0.36),
        (0.06, 0.05, 0.07, 0.04),
    ),
    Material.PAVING: (
        (0.165, 0.180, 0.200, 0.205, 0.230, 0.28, 0.26), (0.210, 0.228, 0.255, 0.26, 0.285, 0.33, 0.31),
        (0.10, 0.07, 0.06, 0.04),
    ),
    Material.PAINT_WHITE: (
        (0.360, 0.375, 0.380, 0.39, 0.400, 0.40, 0.38), (0.430, 0.440, 0.450, 0.45, 0.460, 0.45, 0.43),
        (0.08, 0.06, 0.03, 0.00),
    ),
    Material.PAINT_YELLOW: (
        (0.090, 0.290, 0.380, 0.40, 0.430, 0.42, 0.38), (0.120, 0.330, 0.430, 0.44, 0.470, 0.45, 0.42),
        (0.08, 0.06, 0.03, 0.00),
    ),
    Material.ROOF_RED: (
        (0.062, 0.090, 0.205, 0.24, 0.310, 0.36, 0.33), (0.085, 0.125, 0.270, 0.30, 0.360, 0.41, 0.37),
        (0.13, 0.06, 0.05, 0.05),
    ),
    Material.ROOF_BROWN: (
        (0.062, 0.078, 0.115, 0.13, 0.190, 0.26, 0.25), (0.090, 0.110, 0.155, 0.17, 0.230, 0.31, 0.29),
        (0.13, 0.06, 0.05, 0.05),
    ),
    Material.ROOF_GREY: (
        (0.105, 0.112, 0.118, 0.12, 0.135, 0.16, 0.16), (0.165, 0.175, 0.182, 0.19, 0.205, 0.23, 0.22),
        (0.09, 0.05, 0.05, 0.05),
    ),
    Material.ROOF_WHITE: (
        (0.390, 0.405, 0.410, 0.41, 0.410, 0.36, 0.32), (0.470, 0.480, 0.480, 0.48, 0.470, 0.42, 0.38),
        (0.04, 0.04, 0.05, 0.04),
    ),
    Material.ROOF_BITUMEN: (
        (0.052, 0.055, 0.058, 0.06, 0.070, 0.09, 0.09), (0.080, 0.084, 0.090, 0.09, 0.105, 0.12, 0.12),
        (0.09, 0.09, 0.09, 0.05),
    ),
    Material.ROOF_BLUE: (
        (0.220, 0.160, 0.090, 0.10, 0.240, 0.26, 0.23), (0.270, 0.205, 0.130, 0.14, 0.290, 0.31, 0.28),
        (0.05, 0.04, 0.05, 0.04),
    ),
    Material.ROOF_GREEN: (
        (0.100, 0.160, 0.115, 0.12, 0.220, 0.25, 0.23), (0.135, 0.200, 0.150, 0.16, 0.260, 0.29, 0.27),
        (0.06, 0.04, 0.05, 0.04),
    ),
    Material.COURT_GREEN: (
        (0.070, 0.125, 0.078, 0.09, 0.160, 0.19, 0.17), (0.090, 0.150, 0.098, 0.11, 0.185, 0.22, 0.20),
        (0.05, 0.04, 0.06, 0.04),
    ),
    Material.COURT_BLUE: (
        (0.185, 0.115, 0.070, 0.08, 0.200, 0.22, 0.20), (0.220, 0.145, 0.090, 0.10, 0.230, 0.25, 0.23),
        (0.05, 0.04, 0.06, 0.04),
    ),
    Material.CLAY: (
        (0.080, 0.108, 0.235, 0.27, 0.320, 0.38, 0.36), (0.105, 0.140, 0.285, 0.31, 0.360, 0.42, 0.40),
        (0.06, 0.06, 0.08, 0.05),
    ),
    Material.TURF: (
        (0.040, 0.098, 0.045, 0.12, 0.430, 0.20, 0.09), (0.055, 0.120, 0.065, 0.14, 0.400, 0.22, 0.11),
        (0.07, 0.07, 0.06, 0.05),
    ),
    Material.BODY_WHITE: (
        (0.430, 0.440, 0.440, 0.44, 0.430, 0.32, 0.28), (0.480, 0.485, 0.490, 0.49, 0.470, 0.36, 0.32),
        (0.03, 0.02, 0.00, 0.00),
    ),
    Material.BODY_SILVER: (
        (0.210, 0.215, 0.220, 0.22, 0.230, 0.22, 0.21), (0.290, 0.295, 0.300, 0.30, 0.310, 0.29, 0.27),
        (0.03, 0.02, 0.00, 0.00),
    ),
    Material.BODY_BLACK: (
        (0.030, 0.030, 0.032, 0.03, 0.050, 0.06, 0.06), (0.048, 0.048, 0.052, 0.05, 0.070, 0.08, 0.08),
        (0.04, 0.02, 0.00, 0.00),
    ),
    Material.BODY_RED: (
        (0.045, 0.048, 0.240, 0.27, 0.330, 0.28, 0.25), (0.065, 0.070, 0.310, 0.33, 0.380, 0.32, 0.29),
        (0.03, 0.02, 0.00, 0.00),
    ),
    Material.BODY_BLUE: (
        (0.190, 0.095, 0.050, 0.06, 0.220, 0.23, 0.20), (0.250, 0.140, 0.080, 0.09, 0.270, 0.27, 0.24),
        (0.03, 0.02, 0.00, 0.00),
    ),
    Material.BODY_YELLOW: (
        (0.070, 0.270, 0.370, 0.39, 0.420, 0.36, 0.32), (0.100, 0.310, 0.420, 0.43, 0.460, 0.40, 0.36),
        (0.03, 0.02, 0.00, 0.00),
    ),
    Material.BODY_GREEN: (
        (0.060, 0.130, 0.075, 0.09, 0.200, 0.21, 0.18), (0.085, 0.165, 0.100, 0.12, 0.240, 0.25, 0.22),
        (0.03, 0.02, 0.00, 0.00),
    ),
    Material.GLASS: (
        (0.060, 0.058, 0.052, 0.05, 0.050, 0.04, 0.04), (0.100, 0.098, 0.090, 0.09, 0.080, 0.06, 0.05),
        (0.03, 0.02, 0.00, 0.00),
    ),
    Material.WOOD: (
        (0.120, 0.145, 0.180, 0.20, 0.270, 0.30, 0.26), (0.160, 0.190, 0.230, 0.25, 0.320, 0.35, 0.31),
        (0.14, 0.06, 0.04, 0.00),
    ),
    Material.SOLAR: (
        (0.060, 0.050, 0.042, 0.04, 0.050, 0.07, 0.07), (0.085, 0.065, 0.052, 0.05, 0.060, 0.08, 0.08),
        (0.06, 0.02, 0.00, 0.00),
    ),
}  # fmt: skip


def _spectrum(values: tuple[float, ...], wavelengths: tuple[int, ...]) -> np.ndarray:
    # the red edge is steep and over at 760 nm, between two of the knots
    edge = values[3] + 0.85 * (values[4] - values[3])
    return np.interp(wavelengths, (*_KNOTS[:4], 760, *_KNOTS[4:]), (*values[:4], edge, *values[4:]))


def wavelengths(bands: int) -> tuple[tuple[int, ...], ...]:
    """The wavelengths (nm) that each of 1–12 bands averages."""
    return (_PAN,) if bands == 1 else tuple((nm,) for _, nm in BANDS[:bands])


def band_names(bands: int) -> tuple[str, ...]:
    """Names of the bands in file order."""
    return ("panchromatic",) if bands == 1 else tuple(name for name, _ in BANDS[:bands])


def spectra(bands: int) -> np.ndarray:
    """Reflectance tables, 2 × bands × 256 float32: the two spectra, per band, indexed by material."""
    out = np.zeros((2, bands, 256), np.float32)
    for material, (first, second, _) in _TABLE.items():
        for end, values in enumerate((first, second)):
            out[end, :, material] = [_spectrum(values, nm).mean() for nm in wavelengths(bands)]
    return out


def textures() -> np.ndarray:
    """Relative strength of the noise, 4 octaves × 256 float32, indexed by material."""
    out = np.zeros((4, 256), np.float32)
    for material, (_, _, strength) in _TABLE.items():
        out[:, material] = strength
    return out


def infrared(bands: int) -> np.ndarray:
    """bands bool: which of them lie beyond the visible."""
    return np.array([np.mean(nm) > 720 for nm in wavelengths(bands)])
