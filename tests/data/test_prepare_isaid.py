"""iSAID preparation: exactly the specified patches, labels and lists; from any layout; interrupted and continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from isaid_fixture import SAMPLES, add_pair, colour, image_of, labels_of, make_samples, make_zip, png, tree, unzip

from paddle_rsseg.data.prepare.isaid import _check_known_counts, prepare_isaid
from paddle_rsseg.data.prepare.isaid_cut import Options, histogram
from paddle_rsseg.data.prepare.isaid_legend import KIT_PALETTE, REF_PALETTE, decode_mask
from paddle_rsseg.data.prepare.isaid_source import Pair
from paddle_rsseg.errors import RssegError

ROOT = Path(__file__).resolve().parents[2]
PATCHES = {
    "P0003": ["0_896_0_896", "0_896_251_1147", "127_1023_0_896", "127_1023_251_1147"],
    "P0004": ["0_896_0_896", "512_1408_0_896", "568_1464_0_896"],
    "P0005": ["0_896_0_896", "81_977_0_896"],
}


@pytest.fixture(scope="module")
def zips(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("zips")
    make_samples(root)
    return root


@pytest.fixture(scope="module")
def made(zips, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("made") / "iSAID"
    prepare_isaid(zips, out, num_workers=2)
    return out


def read(path: Path) -> np.ndarray:
    array = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert array is not None, path
    return array


def test_exactly_the_named_files(made):
    names = {"labels.txt", "prepare.json", "train_list.txt", "val_list.txt", "valid_dir/val_list.txt"}
    for stem, (split, *_) in SAMPLES.items():
        names |= {f"img_dir/{split}/{stem}_{w}.png" for w in PATCHES[stem]}
        names |= {f"ann_dir/{split}/{stem}_{w}_instance_color_RGB.png" for w in PATCHES[stem]}
        if split == "val":
            names |= {f"valid_dir/images/{stem}.png", f"valid_dir/labels/{stem}_instance_color_RGB.png"}
    assert {name for name in tree(made) if not name.startswith(".prepare/")} == names


def test_patches_hold_the_pixels_of_their_window(made):
    for stem, (split, height, width, _) in SAMPLES.items():
        image, labels = image_of(height, width, int(stem[1:])), labels_of(stem)
        for name in PATCHES[stem]:
            y0, y1, x0, x1 = map(int, name.split("_"))
            patch = read(made / f"img_dir/{split}/{stem}_{name}.png")
            label = read(made / f"ann_dir/{split}/{stem}_{name}_instance_color_RGB.png")
            assert patch.shape == (896, 896, 3)
            assert label.shape == (896, 896)
            inside = image[y0:y1, x0:x1].shape[:2]  # P0004 and P0005 are narrower than a patch
            np.testing.assert_array_equal(patch[: inside[0], : inside[1]], image[y0:y1, x0:x1])
            np.testing.assert_array_equal(label[: inside[0], : inside[1]], labels[y0:y1, x0:x1])
            assert not patch[:, inside[1] :].any()
            assert (label[:, inside[1] :] == 255).all()


def test_whole_validation_images(made, zips):
    for stem in ("P0003", "P0004"):
        _, height, width, _ = SAMPLES[stem]
        image = image_of(height, width, int(stem[1:]))
        np.testing.assert_array_equal(read(made / f"valid_dir/images/{stem}.png"), image)
        np.testing.assert_array_equal(read(made / f"valid_dir/labels/{stem}_instance_color_RGB.png"), labels_of(stem))


def test_lists(made):
    lines = (made / "val_list.txt").read_text().splitlines()
    assert lines[0] == "img_dir/val/P0003_0_896_0_896.png ann_dir/val/P0003_0_896_0_896_instance_color_RGB.png"
    assert len(lines) == 7
    assert lines == sorted(lines)
    assert len((made / "train_list.txt").read_text().splitlines()) == 2
    assert (made / "valid_dir/val_list.txt").read_text() == (
        "images/P0003.png labels/P0003_instance_color_RGB.png\nimages/P0004.png labels/P0004_instance_color_RGB.png\n"
    )
    names = "background Ship ST BD TC BC GTF Bridge LV SV HC SP RA SBF Plane Harbor"
    assert (made / "labels.txt").read_text() == names.replace(" ", "\n") + "\n"


def test_histograms_of_the_devkit_samples(made):
    """The figures of the real P0003, P0004 and P0005."""
    journals = {stem: json.loads((made / f".prepare/{SAMPLES[stem][0]}/{stem}.json").read_text()) for stem in SAMPLES}
    expected = {
        "P0003": {0: 1098554, 2: 403, 8: 62704, 9: 11720},
        "P0004": {0: 994724, 8: 198782, 9: 12830},
        "P0005": {0: 708285, 8: 135058, 9: 20325},
    }
    for stem, counts in expected.items():
        assert {i: n for i, n in enumerate(journals[stem]["histogram"]) if n} == counts
    summary = json.loads((made / "prepare.json").read_text())["splits"]
    assert summary["val"]["pixels"]["large vehicle"] == 62704 + 198782
    assert summary["val"]["patches"] == 7
    assert sum(summary["val"]["patch_pixels"].values()) == 7 * 896 * 896
    assert summary["val"]["patch_pixels"]["ignored"] == 3 * 896 * (896 - 824)


def test_histogram_is_exact_beyond_float32():
    labels = np.zeros((5000, 4000), np.uint8)  # 20 million pixels; float32 counts end at 16.8 million
    labels[7, 8], labels[9] = 3, 255
    assert {i: n for i, n in enumerate(histogram(labels)) if n} == {0: 20_000_000 - 4001, 3: 1, 255: 4000}


def test_golden_windows():
    def corners(height, width):
        return [(w.x0, w.y0, w.x1, w.y1) for w in Options().windows(height, width)]

    assert corners(1023, 1147) == [(0, 0, 896, 896), (251, 0, 1147, 896), (0, 127, 896, 1023), (251, 127, 1147, 1023)]
    assert corners(1464, 824) == [(0, 0, 896, 896), (0, 512, 896, 1408), (0, 568, 896, 1464)]
    assert corners(896, 896) == corners(500, 700) == [(0, 0, 896, 896)]
    assert len(corners(896, 1408)) == 2
    assert [c[1] for c in corners(1200, 896)] == [0, 304]
    assert corners(896, 700) == [(0, 0, 896, 896)]  # one side exact, the other smaller
    x, y = [0, 512, 1024, 1536, 1661], [0, 512, 1024, 1190]
    assert corners(2086, 2557) == [(a, b, a + 896, b + 896) for b in y for a in x]


def test_width_is_width_and_height_is_height():
    window = Options(patch_height=64, patch_width=96, overlap=32).windows(64, 200)
    assert [(w.height, w.width, w.x0) for w in window] == [(64, 96, 0), (64, 96, 64), (64, 96, 104)]


def test_both_colour_orders(tmp_path):
    labels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    for name, palette in (("kit", KIT_PALETTE), ("ref", REF_PALETTE)):
        decoded, unknown = decode_mask(colour(labels, name), palette)
        np.testing.assert_array_equal(decoded, labels)
        assert unknown == {}
    crossed, _ = decode_mask(colour(labels, "kit"), REF_PALETTE)
    assert crossed.ravel()[[2, 12]].tolist() == [12, 2]
    assert np.delete(crossed, [2, 12]).tolist() == np.delete(labels, [2, 12]).tolist()
    assert KIT_PALETTE[2] == (0, 63, 63)

    add_pair(tmp_path, "val", "P0001", png(image_of(8, 8, 0)), png(colour(np.full((8, 8), 2), "kit")))
    for colors, label in (("kit", 2), ("ref", 12)):
        out = tmp_path / colors
        prepare_isaid(tmp_path, out, Options(8, 8, 0, colors), num_workers=0)
        assert (read(out / "ann_dir/val/P0001_0_8_0_8_instance_color_RGB.png") == label).all()


@pytest.mark.parametrize("unknown_label", [255, 0])
def test_unknown_colours_are_counted(tmp_path, capsys, unknown_label):
    mask = colour(np.full((8, 8), 5))
    mask[0, :3] = (1, 2, 3)[::-1]
    mask[1, 0] = (9, 63, 191)[::-1]  # class 5 but for red
    add_pair(tmp_path, "val", "P0001", png(image_of(8, 8, 0)), png(mask))
    out = tmp_path / "out"
    summary = prepare_isaid(tmp_path, out, Options(8, 8, 0, unknown_label=unknown_label), num_workers=0)
    assert summary["splits"]["val"]["unknown_colors"] == {"P0001": {"1,2,3": 3, "9,63,191": 1}}
    label = read(out / "ann_dir/val/P0001_0_8_0_8_instance_color_RGB.png")
    assert (label[0, :3] == unknown_label).all()
    assert label[1, 0] == unknown_label
    assert (label == 5).sum() == 60
    assert "(1,2,3) × 3" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["archives", "ref", "kit"])
def test_unzipped_trees_give_the_same_patches(zips, made, tmp_path, layout):
    unzip(zips, tmp_path / "unzipped", layout)
    prepare_isaid(tmp_path / "unzipped", tmp_path / "out", num_workers=0)

    def shipped(out):
        return {name: data for name, data in tree(out).items() if not name.startswith(".prepare/")}

    assert shipped(tmp_path / "out") == shipped(made)


def test_grey_and_palette_images_become_rgb(tmp_path):
    grey = image_of(8, 8, 0)[..., 0]
    add_pair(tmp_path, "val", "P0001", png(grey), png(colour(np.zeros((8, 8), int))))
    prepare_isaid(tmp_path, tmp_path / "out", Options(8, 8, 0), num_workers=0)
    for name in ("img_dir/val/P0001_0_8_0_8.png", "valid_dir/images/P0001.png"):
        np.testing.assert_array_equal(read(tmp_path / "out" / name), np.repeat(grey[..., None], 3, 2))


def test_the_command_from_a_bare_clone(zips, made, tmp_path):
    """As a user types it, elsewhere, with the package found beside the script only."""
    script = ROOT / "tools/prepare_dataset/prepare_isaid.py"
    command = [sys.executable, str(script), str(zips), "-o", "out", "--tmp_dir", "x", "--num_workers", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--tmp_dir is not needed" in done.stderr
    assert "large vehicle" in done.stderr
    assert tree(tmp_path / "out") == tree(made)
    assert not (tmp_path / "x").exists()

    command += ["--overlap_area", "896"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: --overlap_area")


KILLED_RUN = """
import sys
from paddle_rsseg.data.prepare.isaid import prepare_isaid
from paddle_rsseg.data.prepare.isaid_cut import Options, histogram
if __name__ == "__main__":
    prepare_isaid(sys.argv[1], sys.argv[2], Options(256, 256, 128), num_workers=2)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="POSIX signals")
def test_kill_and_continue_gives_identical_bytes(tmp_path):
    source, script = tmp_path / "source", tmp_path / "run.py"
    options, count = Options(256, 256, 128), 24
    for i in range(count):
        labels = np.full((500, 500), i % 16, np.uint8)
        add_pair(source, "train" if i % 2 else "val", f"P{i:04d}", png(image_of(500, 500, i)), png(colour(labels)))
    prepare_isaid(source, tmp_path / "whole", options, num_workers=2)
    wanted = tree(tmp_path / "whole")
    script.write_text(KILLED_RUN)
    out = tmp_path / "killed"

    run = subprocess.Popen([sys.executable, str(script), str(source), str(out)], cwd=ROOT, stderr=subprocess.DEVNULL)
    journals = out / ".prepare"
    deadline = time.monotonic() + 120
    while len(list(journals.glob("*/*.json"))) < 3:
        assert run.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    run.send_signal(signal.SIGKILL)
    run.wait()
    # the workers end by themselves
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline, "orphaned workers"
        time.sleep(0.01)

    done = {path: path.stat().st_mtime_ns for path in sorted(journals.glob("*/*.json"))}
    assert 3 <= len(done) < count, "it was to be killed in the middle"
    assert not (out / "prepare.json").exists()
    assert not (out / "train_list.txt").exists()
    # the worst a kill can leave: a half-written file, and a patch whose image was not finished
    (out / "img_dir/val/.P0000_0_256_0_256.69801c5b.part.png").write_bytes(b"\x89PNG")
    prepare_isaid(source, out, options, num_workers=2)
    assert tree(out) == wanted
    assert {path: path.stat().st_mtime_ns for path in done} == done, "finished images were done again"


def test_finished_files_that_changed_are_made_again(zips, made, tmp_path):
    out = tmp_path / "out"
    prepare_isaid(zips, out, num_workers=0)
    victim = out / "img_dir/val/P0003_0_896_0_896.png"
    victim.write_bytes(victim.read_bytes()[:-100])
    (out / "ann_dir/train/P0005_0_896_0_896_instance_color_RGB.png").unlink()
    prepare_isaid(zips, out, num_workers=0)
    assert tree(out) == tree(made)


def test_verification_sees_a_changed_label(zips, tmp_path):
    out = tmp_path / "out"
    prepare_isaid(zips, out, num_workers=0)
    path = out / "ann_dir/val/P0003_0_896_0_896_instance_color_RGB.png"
    journal = out / ".prepare/val/P0003.json"
    path.write_bytes(png(read(path) ^ 1))  # the journal knows the size, so keep that in step: only the values tell
    record = json.loads(journal.read_text())
    record["files"][path.relative_to(out).as_posix()] = path.stat().st_size
    journal.write_text(json.dumps(record))
    with pytest.raises(RssegError, match="labels that were written"):
        prepare_isaid(zips, out, num_workers=0)


def test_a_replaced_source_is_cut_again(tmp_path):
    for seed in (0, 1):
        add_pair(tmp_path, "val", "P0001", png(image_of(40, 40, seed)), png(colour(np.full((40, 40), seed))))
        prepare_isaid(tmp_path, tmp_path / "out", Options(40, 40, 0), num_workers=0)
        np.testing.assert_array_equal(read(tmp_path / "out/valid_dir/images/P0001.png"), image_of(40, 40, seed))
        assert (read(tmp_path / "out/ann_dir/val/P0001_0_40_0_40_instance_color_RGB.png") == seed).all()


def test_stale_trees_are_refused_or_overwritten(zips, made, tmp_path):
    out = tmp_path / "out"
    prepare_isaid(zips, out, Options(600, 600, 100), num_workers=0)
    before = tree(out)
    with pytest.raises(RssegError, match=r"patch_height=600.*--overwrite"):
        prepare_isaid(zips, out, num_workers=0)
    assert tree(out) == before
    prepare_isaid(zips, out, num_workers=0, overwrite=True)
    assert tree(out) == tree(made)

    stranger = out / "img_dir/train/P9999_0_896_0_896.png"
    stranger.write_bytes(b"")
    with pytest.raises(RssegError, match=r"P9999.*does not belong"):
        prepare_isaid(zips, out, num_workers=0)

    other = tmp_path / "other"
    (other / "img_dir/train").mkdir(parents=True)
    (other / "img_dir/train/P0005_0_896_0_896.png").write_bytes(b"made by another tool")
    with pytest.raises(RssegError, match="unknown origin"):
        prepare_isaid(zips, other, num_workers=0)


def test_two_runs_at_once_are_refused(zips, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "out/.prepare").mkdir(parents=True)
    with open(tmp_path / "out/.prepare/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RssegError, match="another run"):
            prepare_isaid(zips, tmp_path / "out", num_workers=0)


def test_a_full_disk_is_told_before_the_first_patch(zips, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(RssegError, match=r"GB are free.*expected about 0\.0 GB"):
        prepare_isaid(zips, tmp_path / "out", num_workers=0)
    assert not list((tmp_path / "out").rglob("*.png"))


def test_the_whole_set_must_give_the_known_counts():
    def whole(extra):  # 1,411 images with as many patches as iSAID's, and some more
        pairs = [Pair("train", f"P{i}", None, None, 896, 896) for i in range(1410)]  # type: ignore[arg-type]
        pairs += [Pair("train", "P1410", None, None, 896, 896 + 512 * (33978 - 1411 + extra))]  # type: ignore[arg-type]
        return {"train": pairs, "val": []}

    _check_known_counts(whole(0), Options())
    with pytest.raises(RssegError, match="33,979 patches; expected 33,978"):
        _check_known_counts(whole(1), Options())
    _check_known_counts(whole(1), Options(overlap=0))  # other patches, no known count


def test_one_split_alone(tmp_path, capsys):
    add_pair(tmp_path, "val", "P0001", png(image_of(8, 8, 0)), png(colour(np.zeros((8, 8), int))))
    summary = prepare_isaid(tmp_path, tmp_path / "out", Options(8, 8, 0), num_workers=0)
    assert list(summary["splits"]) == ["val"]
    assert "no train split" in capsys.readouterr().err
    with pytest.raises(RssegError, match="neither train/images nor val/images"):
        prepare_isaid(tmp_path / "nothing", tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


def test_junk_of_desktop_systems_is_passed_over(tmp_path):
    add_pair(tmp_path, "val", "P0001", png(image_of(8, 8, 0)), png(colour(np.zeros((8, 8), int))))
    make_zip(tmp_path / "val/images/more.zip", {"__MACOSX/images/._P0001.png": b"x", "images/.DS_Store": b"x"})
    prepare_isaid(tmp_path, tmp_path / "out", Options(8, 8, 0), num_workers=0)


def test_archives_of_the_generator(tmp_path):
    """``rsseg synth --format zips`` makes what this command takes: the road without the real data."""
    from paddle_rsseg.data.synth import DatasetOptions, write_dataset

    counts = write_dataset(tmp_path / "zips", DatasetOptions(scenes=2, height=300, width=200, format="zips"), 0, None)
    summary = prepare_isaid(tmp_path / "zips", tmp_path / "iSAID", Options(128, 128, 64), num_workers=0)
    assert {split: content["images"] for split, content in summary["splits"].items()} == {"train": 1, "val": 1}
    pixels = [content["pixels"] for content in summary["splits"].values()]
    assert [sum(p[name] for p in pixels) for name in list(pixels[0])[:16]] == list(counts.values())
    assert all(not content["unknown_colors"] for content in summary["splits"].values())
