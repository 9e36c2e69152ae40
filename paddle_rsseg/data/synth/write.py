"""Scenes on disk: PaddleSeg's list files, image and mask folders, or archives laid out like iSAID's."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window as GdalWindow
from rich.console import Console

from paddle_rsseg.data.parallel import over, worker_count
from paddle_rsseg.data.prepare.isaid_legend import PALETTES
from paddle_rsseg.data.synth import materials
from paddle_rsseg.data.synth.features import FEATURES, STRIPS
from paddle_rsseg.data.synth.scene import SceneStream
from paddle_rsseg.errors import RssegError

#: changes when the same arguments begin to give other pictures
VERSION = 1
FORMATS = ("lists", "folders", "zips")
RECORD = "synth.json"
_NAMES = (*FEATURES, *STRIPS)


@dataclass(frozen=True)
class DatasetOptions:
    """What a data set is made of; the fields of the command line. See :func:`render_scene` for the rest."""

    scenes: int = 12
    height: int = 1024
    width: int = 1024
    legend: str = "isaid"
    bands: int = 3
    dtype: str = "uint8"
    seed: int = 0
    gsd: float | None = None
    georeferenced: bool = False
    collar: float = 0.0
    label_noise: float = 0.0
    format: str = "lists"
    val_fraction: float = 0.25
    colors: str = "kit"

    def check(self) -> None:
        """RssegError if the options do not go together."""
        if self.scenes < 1:
            raise RssegError("synth.scenes", str(self.scenes), "1 or more")
        if not 0 <= self.val_fraction <= 1:
            raise RssegError("synth.val_fraction", str(self.val_fraction), "0 to 1")
        if self.format not in FORMATS:
            raise RssegError("synth.format", repr(self.format), " or ".join(FORMATS))
        if self.colors not in PALETTES:
            raise RssegError("synth.colors", repr(self.colors), " or ".join(PALETTES))
        if self.colors != "kit" and self.format != "zips":
            raise RssegError("synth.colors", self.colors, "--format zips, whose masks have iSAID's colours")
        plain = (self.legend, self.bands, self.dtype, self.georeferenced, self.collar)
        if self.format == "zips" and plain != ("isaid", 3, "uint8", False, 0.0):
            fix = "leave out --legend, --bands, --dtype, --georeferenced and --nodata"
            raise RssegError("synth.format", "zips holds 8-bit RGB PNGs and iSAID's classes only", fix=fix)
        self.stream(0, ())

    @property
    def validation(self) -> int:
        """Number of scenes, the last ones, that are for validation; at least one if any, and one is left to train."""
        if self.val_fraction == 0 or self.scenes == 1:
            return self.scenes if self.val_fraction == 1 else 0
        return min(max(1, round(self.scenes * self.val_fraction)), self.scenes - (self.val_fraction < 1))

    def features(self, scene: int) -> tuple[str, ...]:
        """What a scene must show: every feature, so every class, occurs in training and again in validation."""
        train = self.scenes - self.validation
        index, count = (scene, train) if scene < train else (scene - train, self.validation)
        if count <= len(_NAMES):
            return _NAMES[index::count]
        # one feature each, then as many scenes that may be anywhere, and over again
        turn, place = divmod(index, len(_NAMES))
        return () if turn % 2 else (_NAMES[place],)

    def stream(self, scene: int, features: Sequence[str]) -> SceneStream:
        """The renderer of one scene."""
        return SceneStream(
            self.seed, self.height, self.width, scene=scene, legend=self.legend, bands=self.bands, dtype=self.dtype,
            gsd=self.gsd, features=features, collar=self.collar, label_noise=self.label_noise,
        )  # fmt: skip

    @property
    def suffix(self) -> str:
        """PNG where that can hold the picture and nothing is lost, else GeoTIFF."""
        return ".png" if self.bands in (1, 3) and not self.georeferenced and not self.collar else ".tif"


def write_dataset(
    out: str | Path, options: DatasetOptions, num_workers: int | None = None, console: Console | None = None
) -> dict[str, int]:
    """Render a data set into the directory ``out``.

    * ``lists``: images/, labels/ (class ids, 255 no data), train.txt, val.txt, labels.txt.
    * ``folders``: {train,val}/{images,masks}/ with masks in the legend's colours, labels.txt.
    * ``zips``: {train,val}/images/part*.zip and {train,val}/Semantic_masks/images.zip, as iSAID is downloaded.

    A directory made by the same options is left as it is; an interrupted run is begun again.

    Returns:
        Pixels of each class over all scenes.

    Raises:
        RssegError: an option out of its range, or a directory that holds something else.
    """
    options.check()
    num_workers = worker_count(num_workers)
    out = Path(out)
    record = {"version": VERSION, **asdict(options)}
    counts = _prepare(out, record)
    if counts is not None:
        return counts
    (out / RECORD).write_text(json.dumps({**record, "pixels": None}, indent=1) + "\n", encoding="utf-8")
    write = _write_zips if options.format == "zips" else _write_files
    with _one_thread():
        pixels = write(out, options, num_workers, console)
    legend = options.stream(0, ()).legend
    if options.format != "zips":
        (out / "labels.txt").write_text("".join(f"{name}\n" for name in legend.classes), encoding="utf-8")
    counts = {name: int(n) for name, n in zip(legend.classes, pixels[: len(legend.classes)], strict=True)}
    temporary = out / f".{RECORD}.tmp"
    temporary.write_text(json.dumps({**record, "pixels": counts}, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, out / RECORD)
    return counts


def _prepare(out: Path, record: dict) -> dict[str, int] | None:
    """Make sure that nothing else lives in ``out``; the counts of a finished data set of the same options."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RssegError(out, f"cannot make this directory ({error.strerror})", "a place to write to") from None
    known = out / RECORD
    if known.is_file():
        try:
            before = json.loads(known.read_text(encoding="utf-8"))
            pixels = before.pop("pixels")
        except (ValueError, KeyError, AttributeError):
            raise RssegError(known, "not readable", "the record of a made data set", "remove the directory") from None
        if before == record:
            return pixels
        changed = sorted(key for key in record if before.get(key) != record[key])
        fix = "remove it, or name another directory"
        raise RssegError(out, f"holds a data set of other options ({', '.join(changed)})", "an empty directory", fix)
    strange = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    if strange:
        raise RssegError(out, f"holds {sorted(strange)[0]!r}", "an empty directory", "name another one")
    return None


def _stem(scene: int) -> str:
    return f"scene_{scene:04d}"


# -- lists and folders -------------------------------------------------------------------------------------------------


def _write_files(out: Path, options: DatasetOptions, num_workers: int | None, console: Console | None) -> np.ndarray:
    train = options.scenes - options.validation
    pairs = []
    for scene in range(options.scenes):
        if options.format == "lists":
            pair = f"images/{_stem(scene)}{options.suffix}", f"labels/{_stem(scene)}.png"
        else:
            split = "train" if scene < train else "val"
            pair = f"{split}/images/{_stem(scene)}{options.suffix}", f"{split}/masks/{_stem(scene)}.png"
        pairs.append(pair)
        for name in pair:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
    jobs = [(scene, out / image, out / label) for scene, (image, label) in enumerate(pairs)]
    total = np.zeros(256, np.int64)
    for counts in over(_render_to_files, options, jobs, num_workers, console, "rendering"):
        total += counts
    if options.format == "lists":
        for name, part in (("train", pairs[:train]), ("val", pairs[train:])):
            lines = "".join(f"{image} {label}\n" for image, label in part)
            (out / f"{name}.txt").write_text(lines, encoding="utf-8")
    return total


def _render_to_files(options: DatasetOptions, job: tuple[int, Path, Path]) -> np.ndarray:
    scene, image_path, label_path = job
    stream = options.stream(scene, options.features(scene))
    if options.suffix == ".png":
        image, label = _whole(stream)
        image_path.write_bytes(_png(image))
    else:
        label = _write_tiff(image_path, stream, options.georeferenced)
    mask = stream.legend.colourise(label) if options.format == "folders" else label
    label_path.write_bytes(_png(mask))
    return np.bincount(label.ravel(), minlength=256)


def _write_tiff(path: Path, stream: SceneStream, georeferenced: bool) -> np.ndarray:
    """Write the image window by window; only the label is held whole, and returned."""
    label = np.empty((stream.height, stream.width), np.uint8)
    profile = {
        "driver": "GTiff", "height": stream.height, "width": stream.width, "count": stream.bands,
        "dtype": stream.dtype.name, "compress": "deflate", "predictor": 2, "zlevel": 4, "nodata": stream.nodata,
        "tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "pixel", "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    if georeferenced:
        profile |= {"crs": stream.crs, "transform": stream.transform}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # it was not asked for
        raster = rasterio.open(path, "w", **profile)
    with raster:
        if stream.bands >= 3:
            rest = [ColorInterp.undefined] * (stream.bands - 3)
            raster.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, *rest]
        for band, name in enumerate(materials.band_names(stream.bands), 1):
            raster.set_band_description(band, name)
        for window, image, ids in stream.tiles():
            where = GdalWindow(window.x0, window.y0, window.width, window.height)
            raster.write(image.transpose(2, 0, 1), window=where)
            label[window.slices] = ids
    return label


def _whole(stream: SceneStream) -> tuple[np.ndarray, np.ndarray]:
    image = np.empty((stream.height, stream.width, stream.bands), stream.dtype)
    label = np.empty((stream.height, stream.width), np.uint8)
    for window, pixels, ids in stream.tiles():
        image[window.slices] = pixels
        label[window.slices] = ids
    return image, label


def _png(image: np.ndarray) -> bytes:
    """H×W, H×W×1 or H×W×3 (RGB) as the bytes of a PNG."""
    if image.ndim == 3 and image.shape[2] == 3:
        image = image[..., ::-1]
    ok, encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not ok:
        raise RuntimeError(f"OpenCV encodes no PNG of {image.shape} {image.dtype}")
    return encoded.tobytes()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Scenes share the processors already; and a process forked beside OpenCV's threads would wait for them."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


# -- iSAID's archives --------------------------------------------------------------------------------------------------


def _write_zips(out: Path, options: DatasetOptions, num_workers: int | None, console: Console | None) -> np.ndarray:
    train = options.scenes - options.validation
    parts = {"train": ("part1", "part2", "part3"), "val": ("part1",)}
    archives: dict[tuple[str, str], zipfile.ZipFile] = {}
    total = np.zeros(256, np.int64)
    try:
        for split, names in parts.items():
            for name in (*(f"images/{part}.zip" for part in names), "Semantic_masks/images.zip"):
                path = out / split / name
                path.parent.mkdir(parents=True, exist_ok=True)
                archives[split, name] = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)  # PNGs are compressed already
                _member(archives[split, name], "images/", b"")
        rendered = over(_render_to_bytes, options, list(range(options.scenes)), num_workers, console, "rendering")
        for scene, (image, mask, counts) in enumerate(rendered):
            split = "train" if scene < train else "val"
            part = parts[split][scene % len(parts[split])]
            _member(archives[split, f"images/{part}.zip"], f"images/P{scene:04d}.png", image)
            _member(archives[split, "Semantic_masks/images.zip"], f"images/P{scene:04d}_instance_color_RGB.png", mask)
            total += counts
    finally:
        for archive in archives.values():
            archive.close()
    return total


def _render_to_bytes(options: DatasetOptions, scene: int) -> tuple[bytes, bytes, np.ndarray]:
    stream = options.stream(scene, options.features(scene))
    image, label = _whole(stream)
    mask = stream.legend.colourise(label, PALETTES[options.colors])
    return _png(image), _png(mask), np.bincount(label.ravel(), minlength=256)


def _member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # a fixed date: the same data set is the same archive, byte for byte
    member = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
    member.external_attr = (0o40755 << 16 | 0x10) if name.endswith("/") else 0o100644 << 16
    archive.writestr(member, content)
