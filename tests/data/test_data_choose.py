"""The validation set of maximum entropy against the definition, and its command."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from paddle_rsseg.cli.main import main
from paddle_rsseg.data.choose import maximum_entropy, write_list
from paddle_rsseg.data.datasets import HangzhouDataset
from paddle_rsseg.errors import RssegError


def naive(counts):
    """Each step by trying every unused image, as written in the definition."""
    frequencies = [np.array(row) / sum(row) for row in counts]
    used, mean = [], np.zeros(len(counts[0]))
    while len(used) < len(counts):
        best, entropy = None, -1.0
        for j, f in enumerate(frequencies):
            if j in used:
                continue
            p = (len(used) * mean + f) / (len(used) + 1)
            h = -sum(v * np.log(v) for v in p if v > 0)
            if h >= entropy - 1e-12:  # ties go to the last one
                best, entropy = j, h
        mean = (len(used) * mean + frequencies[best]) / (len(used) + 1)
        used.append(best)
    return used


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_definition(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 50, (8, 4)) * (rng.random((8, 4)) < 0.6)
    counts[counts.sum(axis=1) == 0, 0] = 1
    order, entropies = maximum_entropy(counts)
    assert order == naive(counts.tolist())
    for n in range(1, 9):
        mean = (counts[order[:n]] / counts[order[:n]].sum(axis=1, keepdims=True)).mean(axis=0)
        assert entropies[n - 1] == pytest.approx(-sum(v * np.log(v) for v in mean if v > 0))
    assert maximum_entropy(counts, 3) == (order[:3], entropies[:3])


def test_rises_and_then_falls():
    """Many images of one class, some of others: these come first."""
    counts = np.zeros((60, 3), np.int64)
    counts[:40, 0], counts[40:50, 1], counts[50:, 2] = 100, 7, 1_000_000
    order, entropies = maximum_entropy(counts)
    assert sorted(order) == list(range(60))
    assert entropies[2] == pytest.approx(np.log(3))  # an image weighs the same, however many pixels it has
    assert entropies[29] == pytest.approx(np.log(3))
    assert all(b < a for a, b in pairwise(entropies[29:]))


def test_ties_and_unlabelled_images():
    counts = np.array([[1, 1], [0, 0], [2, 2], [5, 5]])
    assert maximum_entropy(counts)[0] == [3, 2, 0]
    assert maximum_entropy(counts, 1) == ([3], [pytest.approx(np.log(2))])
    for number in (0, 4):
        with pytest.raises(RssegError, match=f"{number} of 3 with labels; expected 1 to 3"):
            maximum_entropy(counts, number)


def test_lists_name_files_below_the_root(tmp_path):
    pairs = [("data/a b.tif", "data/l/a.png"), ("other/c.tif", None)]
    write_list(str(tmp_path / "list.txt"), pairs, "data", ",")
    assert (tmp_path / "list.txt").read_text() == "a b.tif,l/a.png\nother/c.tif\n"
    with pytest.raises(RssegError, match=r"a name with ' '.*--separator"):
        write_list(str(tmp_path / "list.txt"), pairs, "data")
    with pytest.raises(RssegError, match="cannot be written"):
        write_list(str(tmp_path), pairs, "data", ",")


def test_the_command_writes_two_lists(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ("data/i", "data/l"):
        (tmp_path / folder).mkdir(parents=True)
    for k in range(6):  # three tiles of water alone, three of another class each
        label = np.full((8, 8), (1, 1, 1, 7, 20, 0)[k], np.uint8)
        label[:2] = 0
        cv2.imwrite(f"data/i/{k}.png", np.full((8, 8, 3), 40 * k, np.uint8))
        np.save(f"data/l/{k}.npy", label)
    (tmp_path / "all.txt").write_text("".join(f"i/{k}.png l/{k}.npy\n" for k in range(6)))
    data = "{type: HangzhouDataset, dataset_root: data, %s_path: all.txt, transforms: [{type: Normalize}], mode: %s}"
    (tmp_path / "c.yml").write_text(f"""
iters: 1
train_dataset: {data % ("train", "train")}
val_dataset: {data % ("val", "val")}
model: {{type: FarSeg, backbone: ResNet18}}
loss: {{types: [{{type: CrossEntropyLoss}}], coef: [1]}}
optimizer: {{type: SGD}}
lr_scheduler: {{type: Constant, learning_rate: 0.1}}
""")
    command = [
        "choose",
        "c.yml",
        "--images",
        "3",
        "--write",
        "val.txt",
        "--write_rest",
        "train.txt",
        "--num_workers",
        "1",
    ]
    assert main(command) == 0
    assert (tmp_path / "val.txt").read_text() == "i/4.png l/4.npy\ni/3.png l/3.npy\ni/2.png l/2.npy\n"
    assert (tmp_path / "train.txt").read_text() == "i/0.png l/0.npy\ni/1.png l/1.npy\ni/5.png l/5.npy\n"
    out = capsys.readouterr().out
    assert "3 of 6 images" in out
    assert "of the chosen ones 1.0986" in out
    options = {"dataset_root": "data", "mode": "val", "val_path": "val.txt"}
    assert len(HangzhouDataset(**options)) == 3
    assert main([*command, "--images", "6"]) == 2
    assert "6 of 5 with labels" in capsys.readouterr().err
