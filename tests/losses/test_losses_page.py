"""docs/losses.md: every loss is there, its settings build, and its example of a loss that asks trains."""

from __future__ import annotations

import re
from pathlib import Path

import paddle
import yaml
from paddle import nn

from paddle_rsseg.losses import build_loss
from paddle_rsseg.registry import LOSSES
from paddle_rsseg.training.loop import Trainer
from paddle_rsseg.training.precision import Precision

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_the_table_has_every_loss_and_no_other():
    rows = re.findall(r"^\| ((?:`\w+Loss`(?:, )?)+) \|", PAGE, flags=re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(LOSSES.names())


def test_settings_build():
    settings = [yaml.safe_load(block)["loss"] for block in blocks("yaml")]
    assert len(settings) >= 4
    for loss in settings:
        build_loss(loss)


def test_the_example_trains():
    (code,) = blocks("python")
    try:
        exec(compile(code, "docs/losses.md", "exec"), {"__name__": "example"})
        loss = build_loss({"types": [{"type": "MirrorEntropyLoss"}], "coef": [1.0]})
    finally:
        LOSSES._entries.pop("MirrorEntropyLoss", None)
    paddle.seed(0)

    class Net(nn.Layer):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2D(3, 4, 3, padding=1)

        def forward(self, image):
            return [self.conv(image)]

    model = Net()
    batch = {"image": paddle.rand([2, 3, 6, 9]), "label": paddle.zeros([2, 6, 9], "int64"), "names": ["a", "b"]}
    trainer = Trainer(
        model=model, loss=loss, optimizer=paddle.optimizer.SGD(0.5, model.parameters()), schedule=lambda k: 0.5,
        precision=Precision("fp32", "O1", "cpu"), batches=iter([batch] * 8), iters=8,
    )  # fmt: skip
    values = []
    while trainer.iteration < 8:
        trainer.iteration += 1
        trainer.run_step()
        values.append(trainer.losses["MirrorEntropyLoss"])
    assert len({len(loss.ask((0, k, 0)).views) for k in range(1, 9)}) == 2
    assert values[-1] < values[0]
