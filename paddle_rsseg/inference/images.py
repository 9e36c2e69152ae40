"""Which images a path means, and what their results are called: the same for prediction and deployment."""

from __future__ import annotations

from pathlib import Path

from paddle_rsseg.errors import RssegError

#: what counts as an image in a directory
SUFFIXES = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".jp2", ".vrt", ".img", ".webp"}


def find_images(source: Path, save_dir: Path, option: str = "--image_path") -> list[tuple[Path, str]]:
    """(path, name of the results) of every image that ``source`` means.

    Directories keep their structure below ``save_dir``. Where two images share a name but for the suffix, the suffix
    stays in the names of the results.

    Args:
        option: what the user gave ``source`` with, for messages.

    Raises:
        RssegError: nothing there, or no image in it.
    """
    if source.is_dir():
        found = [p for p in sorted(source.rglob("*")) if p.suffix.lower() in SUFFIXES and p.is_file()]
        # the results of an earlier run may lie inside
        paths = [p for p in found if save_dir.resolve() not in p.resolve().parents and not p.name.startswith(".")]
        names = [p.relative_to(source) for p in paths]
    elif source.suffix.lower() == ".txt" and source.is_file():
        paths = [
            _listed(line, source.parent) for line in source.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
        names = [_below(p, source.parent) for p in paths]
    elif source.is_file() or str(source).startswith("/vsi"):
        paths, names = [source], [Path(source.name)]
    else:
        raise RssegError(f"{option} {source}", "no such file or directory", "an image, a directory or a .txt list")
    if not paths:
        raise RssegError(f"{option} {source}", "no images", f"files ending in {', '.join(sorted(SUFFIXES))}")
    stems = [str(name.with_suffix("")) for name in names]
    return [
        (path, stem if stems.count(stem) == 1 else str(name))
        for path, name, stem in zip(paths, names, stems, strict=True)
    ]


def _listed(line: str, directory: Path) -> Path:
    """The image of a list's line, relative to the list; a second column (a label) is not looked at."""
    whole = directory / line.strip()
    return whole if whole.exists() else directory / line.split()[0]


def _below(path: Path, directory: Path) -> Path:
    """The path relative to ``directory`` if it lies there, else its name."""
    return path.relative_to(directory) if path.is_relative_to(directory) and ".." not in path.parts else Path(path.name)
