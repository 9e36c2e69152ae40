"""One data set in two forms: whole scenes, where each pixel counts once, and patches, as published scores have it."""

from __future__ import annotations

from typing import Any

from paddle_rsseg.data.datasets.base import Item
from paddle_rsseg.data.mosaic import LabelMosaic, Mosaic, Patch, places
from paddle_rsseg.data.view import LabelView, RasterView
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.windows import Window, grid


def patches(dataset: Any) -> list[Patch] | None:
    """Where each sample lies in its scene; None if the samples are not parts of scenes.

    They are windows of images (``tile``, or iSAID's ``virtual``), or files whose names tell their place.
    """
    if not hasattr(dataset, "item"):
        return None
    items = [dataset.item(i) for i in range(len(dataset))]
    if items and all(item.window is not None for item in items):
        return [Patch(item.image, item.window) for item in items]
    if not items or any(item.window is not None for item in items):
        return None

    def size(i: int) -> tuple[int, int]:
        with dataset.open_image(items[i]) as raster:
            return raster.height, raster.width

    return places([item.image for item in items], size)


def scene_names(dataset: Any) -> list[str] | None:
    """The scene of each sample; None if each sample is a scene."""
    found = patches(dataset)
    return None if found is None else [patch.scene for patch in found]


def seen_by(protocol: str, dataset: Any, spec: InferenceSpec, several: bool) -> Any:
    """The data set in the form that a protocol scores.

    Args:
        several: other protocols score it too; then ``patch`` means patches, of the spec's window and stride, where
            alone it means the samples as they are.
    """
    if protocol != "stitched" and not several:
        return dataset
    whole = scene_names(dataset) is None
    if protocol == "stitched" and not whole:
        return Stitched(dataset)
    if protocol == "patch" and whole and spec.resize is None:
        return Patches(dataset, spec.window, spec.stride)
    return dataset


class _View:
    """What a data set and its other form have in common."""

    def __init__(self, dataset: Any):
        self._dataset = dataset
        self.name, self.num_classes, self.ignore_index = _name(dataset), dataset.num_classes, dataset.ignore_index
        self.classes, self.palette = dataset.classes, dataset.palette

    def item(self, index: int) -> Item:
        raise NotImplementedError

    def paths(self, index: int) -> tuple[str, str | None]:
        return self.item(index)[:2]


class Stitched(_View):
    """The scenes of a data set of patches, with the interface of a data set.

    Args:
        dataset: whose samples are windows of images, or files whose names tell their place.

    Raises:
        RssegError: they are neither.
    """

    def __init__(self, dataset: Any):
        found = patches(dataset)
        if found is None:
            wanted = "patches: samples with tile, or files named like P0003_0_896_512_1408.png (y0_y1_x0_x1)"
            raise RssegError(_name(dataset), "samples that do not tell their place in a scene", wanted)
        super().__init__(dataset)
        self._members: dict[str, list[tuple[int, Window]]] = {}
        for i, patch in enumerate(found):
            self._members.setdefault(patch.scene, []).append((i, patch.window))
        self._scenes = list(self._members)

    def __len__(self) -> int:
        return len(self._scenes)

    def item(self, index: int) -> Item:
        scene = self._scenes[index]
        return Item(scene, self._first(scene).label, None, scene)

    def image(self, index: int) -> Any:
        scene = self._scenes[index]
        first = self._first(scene)
        if first.window is not None:
            return self._dataset.open_image(first._replace(window=None))
        return Mosaic(scene, [(window, self._dataset.image(i)) for i, window in self._members[scene]])

    def label(self, index: int) -> Any:
        scene = self._scenes[index]
        first = self._first(scene)
        if first.window is not None:
            return self._dataset.open_label(first._replace(window=None))
        pieces = [(window, self._dataset.label(i)) for i, window in self._members[scene]]
        if any(label is None for _, label in pieces):
            return None
        return LabelMosaic(scene, pieces, self.ignore_index)

    def _first(self, scene: str) -> Item:
        return self._dataset.item(self._members[scene][0][0])


class Patches(_View):
    """The scenes of a data set cut into overlapping patches, with the interface of a data set.

    Images no larger than a patch stay as they are.

    Args:
        size, stride: (height, width) of a patch, and their steps, in pixels.
    """

    def __init__(self, dataset: Any, size: tuple[int, int], stride: tuple[int, int]):
        super().__init__(dataset)
        self._windows: list[tuple[int, Window]] = []
        for i in range(len(dataset)):
            with dataset.image(i) as raster:
                self._windows += [(i, window) for window in grid(raster.height, raster.width, size, stride)]
        # neighbours come one after the other: the last files stay open, and each copy of this opens its own
        self._image: tuple[int, Any] = -1, None
        self._label: tuple[int, Any] = -1, None

    def __len__(self) -> int:
        return len(self._windows)

    def item(self, index: int) -> Item:
        i, w = self._windows[index]
        image, label = self._dataset.paths(i)
        return Item(image, label, w, f"{image}[{w.y0}:{w.y1},{w.x0}:{w.x1}]")

    def image(self, index: int) -> Any:
        i, window = self._windows[index]
        if self._image[0] != i:
            if self._image[1] is not None:
                self._image[1].close()
            self._image = i, self._dataset.image(i)
        return RasterView(self._image[1], window)

    def label(self, index: int) -> Any:
        i, window = self._windows[index]
        if self._label[0] != i:
            self._label = i, self._dataset.label(i)
        label = self._label[1]
        return None if label is None else LabelView(label, window, self.ignore_index)


def _name(dataset: Any) -> str:
    return getattr(dataset, "name", "data set")
