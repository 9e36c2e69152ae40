"""Evaluation of a data set in both protocols, over several processes, and the report."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from paddle_rsseg.data.raster import ArrayRaster
from paddle_rsseg.errors import RssegError
from paddle_rsseg.evaluation.confusion import confusion_matrix
from paddle_rsseg.evaluation.evaluate import evaluate
from paddle_rsseg.evaluation.measures import Measures
from paddle_rsseg.evaluation.report import as_html, write_report
from paddle_rsseg.evaluation.report.files import content
from paddle_rsseg.inference.engine import WindowPredictor
from paddle_rsseg.inference.spec import InferenceSpec

MEASURES = Measures(boundary=4, sizes=(4, 40), calibration=3000, block=16)
SPEC = InferenceSpec(num_classes=4, window=(32, 48), stride=(20, 30))


class ArrayLabel:
    path = "<array>"

    def __init__(self, array):
        self.array, (self.height, self.width) = array, array.shape

    def read(self, window=None):
        return self.array if window is None else self.array[window.slices]


class ArrayDataset:
    """Images and labels in memory, with the interface of the data sets on disk."""

    name = "arrays"
    num_classes, ignore_index = 4, 255
    classes = ("land", "<sea>", "ice & snow", "never")
    palette = ((1, 2, 3), (200, 0, 0), (0, 200, 0), (0, 0, 200))

    def __init__(self, sizes=((50, 70), (32, 48), (20, 90), (32, 48), (97, 31))):
        rng = np.random.default_rng(0)
        self.labels = [rng.integers(0, 3, size).astype(np.uint8) for size in sizes]
        for label in self.labels:
            label[:3] = 255
        # the class can nearly be read off the image
        self.images = [
            (np.where(x == 255, 0, x) * 70 + rng.integers(0, 110, x.shape)).astype(np.uint8)[..., None].repeat(3, 2)
            for x in self.labels
        ]

    def __len__(self):
        return len(self.labels)

    def paths(self, i):
        return f"image {i}", f"label {i}"

    def image(self, i):
        return ArrayRaster(self.images[i])

    def label(self, i):
        return ArrayLabel(self.labels[i])


def network(batch):
    value = (batch.mean(1) * 0.5 + 0.5) * 255
    return np.stack([-((value - middle) ** 2) / 500 for middle in (20, 110, 200)] + [np.full_like(value, -99)], axis=1)


def without_time(result) -> str:
    """Every number of the report but those of the clock and the processes."""
    found = content(result)
    for part in (found, *found["beside"]):
        part.pop("seconds", None)
        part["info"] = {key: value for key, value in part["info"].items() if key != "processes"}
    return json.dumps(found, sort_keys=True)


@pytest.mark.parametrize("protocol", ["slide", "patch"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_matrix_is_that_of_the_maps(protocol, batch_size):
    data = ArrayDataset()
    result = evaluate(network, data, SPEC, protocol, batch_size=batch_size)
    expected = np.zeros((4, 4), np.int64)
    for i, label in enumerate(data.labels):
        whole = replace(SPEC, window=label.shape, stride=label.shape) if protocol == "patch" else SPEC
        own = confusion_matrix(WindowPredictor(network, whole).predict(data.images[i]), label, 4)
        np.testing.assert_array_equal(result.images[i].matrix, own)
        expected += own
    np.testing.assert_array_equal(result.matrix, expected)
    assert 0.5 < result.scores["mIoU_present"] < 1
    assert result.scores["mIoU"] == pytest.approx(result.scores["mIoU_present"] * 3 / 4)
    assert result.scores["pixels"] == sum((label != 255).sum() for label in data.labels)


def test_labels_that_do_not_fit_are_told():
    data = ArrayDataset()
    data.labels[1] = np.full_like(data.labels[1], 9)
    with pytest.raises(RssegError, match=r"label 1: 1536 label pixels of \[9\]"):
        evaluate(network, data, SPEC, "slide")
    for rows in (40, 60):
        data = ArrayDataset()
        data.labels[0] = np.zeros((rows, 70), np.uint8)
        for protocol in ("slide", "patch"):
            with pytest.raises(RssegError, match=f"label 0: {rows}×70 pixels.*image and label of one size"):
                evaluate(network, data, SPEC, protocol)
    with pytest.raises(RssegError, match="4 classes, but the model has 7"):
        evaluate(network, ArrayDataset(), replace(SPEC, num_classes=7))


def test_best_and_worst_images_are_the_best_and_worst(tmp_path):
    data = ArrayDataset([(40, 40)] * 9)
    for i in range(9):  # spoil image i in i of 9 parts
        data.images[i][: 4 * i] = 80 - data.images[i][: 4 * i] // 4
    result = evaluate(network, data, SPEC, "slide", examples=2)
    order = sorted(range(9), key=lambda i: result.images[i].miou)
    assert [e.name for e in result.worst] == [f"image {i}" for i in order[:2]]
    assert [e.name for e in result.best] == [f"image {i}" for i in order[:-3:-1]]
    assert all(e.panels.keys() == {"image", "truth", "prediction", "errors"} for e in result.best + result.worst)


def test_the_report_is_one_page_that_needs_nothing(tmp_path):
    measures = Measures.full(frequencies=(0.5, 0.3, 0.1, 0.1))
    result = evaluate(network, ArrayDataset(), SPEC, ("slide", "patch"), examples=2, measures=measures)
    result.info["command"] = "rsseg val --opts 'a<b'"
    paths = write_report(result, tmp_path / "score", "Scores of A & B")
    tables = ["confusion.csv", "classes.csv", "scenes.csv", "sizes.csv"]
    assert [p.name for p in paths] == ["metrics.json", *tables, "report.html"]
    page = paths[-1].read_text(encoding="utf-8")
    assert nesting_errors(page) == []
    sources = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", page)
    assert len(sources) == 4 * 4
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"https?:|<script|<link|@import", page)
    assert "&lt;sea&gt;" in page
    assert "<sea>" not in page
    assert "Scores of A &amp; B" in page
    assert f"{100 * result.scores['mIoU']:.2f}" in page
    numbers = json.loads(paths[0].read_text())
    assert numbers["mIoU"] == result.scores["mIoU"]
    assert numbers["classes"][3]["IoU"] is None  # the class that never occurs
    assert len(numbers["images"]) == 5
    for score in (result.boundary["mIoU"], result.calibration.before.ece, result.beside[0].scores["mIoU"]):
        assert f"{100 * score:.2f}" in page
    assert numbers["boundary"]["mIoU"] == result.boundary["mIoU"]
    assert numbers["intervals"]["mIoU"] == list(result.intervals.mIoU)
    assert numbers["calibration"]["temperature"] == result.calibration.fitted
    assert numbers["beside"][0]["info"]["protocol"] == "patch"
    assert numbers["sizes"]["objects"] == result.objects["objects"]
    assert numbers["fwIoU_given"] is None  # a class that never occurs
    for path, rows in zip(paths[1:-1], (4, 4, 5, 4 * 4), strict=True):
        header, *lines = csv.reader(path.read_text().splitlines())
        assert len(lines) == rows
        assert {len(line) for line in lines} == {len(header)}
    table = [line.split(",") for line in paths[1].read_text().splitlines()]
    assert [[int(v) for v in row[1:]] for row in table[1:]] == result.matrix.tolist()


def nesting_errors(page: str) -> list[str]:
    """Tags that are closed in the wrong place, or never."""

    class Reader(HTMLParser):
        def __init__(self):
            super().__init__()
            self.stack, self.wrong = [], []

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img", "br", "link"):
                self.stack.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            if not self.stack or self.stack.pop() != tag:
                self.wrong.append(f"{tag} at {self.getpos()}")

    reader = Reader()
    reader.feed(page)
    return reader.wrong + reader.stack


@pytest.mark.parametrize("sizes", [[(60, 60)], [(60, 60), (40, 50)]])
def test_a_report_of_little(tmp_path, sizes):
    """One image, or a class never seen: there are no intervals, and the page says so."""
    data = ArrayDataset(sizes)
    result = evaluate(network, data, SPEC, "slide", measures=Measures(boundary=3))
    page = as_html(result, "x")
    assert nesting_errors(page) == []
    assert ("No confidence interval: one scene" in page) == (len(sizes) == 1)
    assert (result.intervals is None) == (len(sizes) == 1)
    blocks = evaluate(network, data, SPEC, "slide", measures=Measures(block=32))
    assert blocks.intervals.unit == "blocks of 32×32 pixels"
    assert blocks.intervals.units == sum(-(-h // 32) * -(-w // 32) for h, w in sizes)
    np.testing.assert_array_equal(sum(image.blocks.sum(0) for image in blocks.images), result.matrix)
    assert "Neighbouring blocks are alike" in as_html(blocks, "x")


def test_two_processes_count_what_one_does(tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(__file__).rpartition("/")[0]!r})
            import numpy as np, paddle, paddle.distributed as dist
            from test_evaluation_evaluate import ArrayDataset, MEASURES, SPEC, evaluate, network, without_time

            paddle.set_device("cpu")
            dist.init_parallel_env()
            result = evaluate(network, ArrayDataset(), SPEC, ("slide", "patch"), examples=2, measures=MEASURES)
            names = [image.name for image in result.images]
            np.savez({str(tmp_path)!r} + f"/{{dist.get_rank()}}.npz", matrix=result.matrix, names=names,
                     best=[e.name for e in result.best], worst=[e.name for e in result.worst],
                     numbers=without_time(result))
            """
        )
    )
    command = [
        sys.executable,
        "-m",
        "paddle.distributed.launch",
        "--nproc_per_node",
        "2",
        "--log_dir",
        str(tmp_path / "log"),
    ]
    done = subprocess.run([*command, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    alone = evaluate(network, ArrayDataset(), SPEC, ("slide", "patch"), examples=2, measures=MEASURES)
    for rank in (0, 1):
        found = np.load(tmp_path / f"{rank}.npz")
        np.testing.assert_array_equal(found["matrix"], alone.matrix)
        assert str(found["numbers"]) == without_time(alone)
        assert found["names"].tolist() == [f"image {i}" for i in range(5)]
        assert found["best"].tolist() == [e.name for e in alone.best]
        assert found["worst"].tolist() == [e.name for e in alone.worst]
