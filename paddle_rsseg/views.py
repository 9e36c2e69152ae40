"""The eight ways to lay an image onto itself by right angles and mirrors, and the exact way back."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

Pixels = TypeVar("Pixels", bound=Any)


class View(NamedTuple):
    """An image as a network may see it once more: rows and columns exchanged, then turned over.

    :meth:`apply` and :meth:`invert` take …×H×W arrays of NumPy or tensors of Paddle, of any H and W; they only move
    pixels, so gradients pass and ``view.invert(view.apply(x))`` is ``x`` bit for bit. ``View()`` is the image itself.

    Attributes:
        transposed: rows become columns: H×W becomes W×H.
        upside_down: after that, the last row is the first.
        mirrored: after that, the last column is the first.
    """

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False

    @classmethod
    def rotation(cls, quarter_turns: int) -> View:
        """By ``quarter_turns`` · 90° counter-clockwise, as ``numpy.rot90``."""
        return (cls(), cls(True, True, False), cls(False, True, True), cls(True, False, True))[quarter_turns % 4]

    def apply(self, pixels: Pixels) -> Pixels:
        """The image in this view."""
        return self._turned_over(self._transposed(pixels))

    def invert(self, pixels: Pixels) -> Pixels:
        """What was computed in this view, in the orientation of the image."""
        return self._transposed(self._turned_over(pixels))

    def _transposed(self, pixels: Pixels) -> Pixels:
        if not self.transposed:
            return pixels
        *leading, row, column = range(pixels.ndim)
        return pixels.transpose([*leading, column, row])

    def _turned_over(self, pixels: Pixels) -> Pixels:
        if self.upside_down:
            pixels = pixels[..., ::-1, :]
        return pixels[..., ::-1] if self.mirrored else pixels


#: all eight, the image itself first
VIEWS = tuple(View(*map(bool, (number & 4, number & 2, number & 1))) for number in range(8))
