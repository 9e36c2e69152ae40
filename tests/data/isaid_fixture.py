"""Small equivalents of iSAID's archives: the devkit's sample sizes and label histograms, with drawn images."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np

from paddle_rsseg.data.prepare.isaid_legend import PALETTES

#: stem → (split, height, width, pixels of each class that is not background); as in the devkit's samples
SAMPLES = {
    "P0003": ("val", 1023, 1147, {2: 403, 8: 62704, 9: 11720}),
    "P0004": ("val", 1464, 824, {8: 198782, 9: 12830}),
    "P0005": ("train", 977, 884, {8: 135058, 9: 20325}),
}


def labels_of(stem: str) -> np.ndarray:
    """H×W uint8 with exactly the sample's histogram, as blobs scattered over the whole image."""
    _, height, width, counts = SAMPLES[stem]
    flat = np.zeros(height * width, np.uint8)
    rng = np.random.default_rng(int(stem[1:]))
    # runs of up to 400 pixels at shuffled places: cheap, exact, and everywhere
    places = rng.permutation(height * width // 400)
    at = 0
    for label, count in counts.items():
        while count:
            run = min(count, 400)
            flat[places[at] * 400 : places[at] * 400 + run] = label
            count, at = count - run, at + 1
    return flat.reshape(height, width)


def image_of(height: int, width: int, seed: int) -> np.ndarray:
    """H×W×3 uint8 (BGR): smooth colours with some grain, no two windows alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 32 + 2, width // 32 + 2, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return smooth ^ rng.integers(0, 4, smooth.shape, np.uint8)


def colour(labels: np.ndarray, colors: str = "kit") -> np.ndarray:
    """Label map → H×W×3 colour mask (BGR)."""
    return np.asarray(PALETTES[colors], np.uint8)[labels][..., ::-1]


def png(array: np.ndarray) -> bytes:
    ok, buffer = cv2.imencode(".png", array)
    assert ok
    return buffer.tobytes()


def make_zip(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def add_pair(root: Path, split: str, stem: str, image: bytes, mask: bytes) -> None:
    """Archives as downloaded, holding this one pair (a part zip each for several)."""
    make_zip(root / split / "images" / f"part_{stem}.zip", {f"images/{stem}.png": image})
    make_zip(root / split / "Semantic_masks" / f"images_{stem}.zip", {f"images/{stem}_instance_color_RGB.png": mask})


def make_samples(root: Path, colors: str = "kit") -> None:
    """The three sample pairs as zips: ``part1.zip`` and ``images.zip`` in each split."""
    for split in ("train", "val"):
        images, masks = {}, {}
        for stem, (own, height, width, _) in SAMPLES.items():
            if own == split:
                images[f"images/{stem}.png"] = png(image_of(height, width, int(stem[1:])))
                masks[f"images/{stem}_instance_color_RGB.png"] = png(colour(labels_of(stem), colors))
        make_zip(root / split / "images" / "part1.zip", images)
        make_zip(root / split / "Semantic_masks" / "images.zip", masks)


def unzip(root: Path, target: Path, layout: str) -> None:
    """Unpack as ``archives`` (beside each zip), ``ref`` (masks/) or ``kit`` (everything in images/)."""
    for path in sorted(root.rglob("*.zip")):
        split, kind = path.relative_to(root).parts[:2]
        folder = {
            "archives": target / split / kind / "images",
            "ref": target / split / ("images" if kind == "images" else "masks"),
            "kit": target / split / "images",
        }[layout]
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                (folder / Path(name).name).write_bytes(archive.read(name))
                if layout == "kit" and "_color_" in name:
                    other = Path(name).name.replace("_color_", "_id_")
                    (folder / other).write_bytes(archive.read(name))


def tree(out: Path) -> dict[str, bytes]:
    """Every file of a finished tree, journals included, but for the lock."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "lock")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}
