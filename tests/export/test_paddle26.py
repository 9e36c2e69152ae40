"""The smoke suite for PaddlePaddle 2.6.2, the newest paddlepaddle-gpu on PyPI: build, train a step, export, infer.

Run it where Paddle 2.6.2 and numpy<2 are installed: ``python -m pytest -m paddle26 tests/export/test_paddle26.py``.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

pytestmark = [
    pytest.mark.paddle26,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]

ROOT = Path(__file__).resolve().parents[2]
COMPONENT = {"type": "FarSeg", "backbone": "ResNet18", "num_classes": 5, "in_channels": 4}


@pytest.fixture(scope="module")
def model():
    from paddle_rsseg.models import create_model

    paddle.seed(1)
    return create_model(COMPONENT)


def image(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def test_this_is_paddle_2_6():
    assert paddle.__version__.startswith("2.6"), "the mark paddle26 is for an environment with PaddlePaddle 2.6"
    assert np.__version__.startswith("1."), "numpy 2 beside PaddlePaddle 2.6 corrupts memory"


def test_forward_at_odd_sizes(model):
    model.eval()
    with paddle.no_grad():
        for height, width in ((1, 1), (33, 65), (64, 96)):
            logits = model(paddle.to_tensor(image(2, 4, height, width)))[0]
            assert logits.shape == [2, 5, height, width]
            assert np.isfinite(logits.numpy()).all()


def test_a_training_step_lowers_the_loss(model):
    from paddle_rsseg.registry import LOSSES

    loss_function = LOSSES.build({"type": "AnnealingSoftmaxFocalLoss", "T_max": 10, "gamma": 2.0})
    model.train()
    loss_function.train()
    optimiser = paddle.optimizer.Momentum(
        0.01, 0.9, parameters=model.parameters(), grad_clip=paddle.nn.ClipGradByGlobalNorm(35.0)
    )
    label = np.random.default_rng(1).integers(0, 5, (2, 64, 64))
    label[0, :10] = 255
    losses = []
    for _ in range(4):
        loss = loss_function(model(paddle.to_tensor(image(2, 4, 64, 64)))[0], paddle.to_tensor(label))
        loss.backward()
        optimiser.step()
        optimiser.clear_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    nothing = loss_function(model(paddle.to_tensor(image(1, 4, 32, 32)))[0], paddle.full([1, 32, 32], 255, "int64"))
    assert nothing.item() == 0


def test_weights_of_both_kinds(model, tmp_path):
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import load_weights, save_weights

    paddle.save(model.state_dict(), str(tmp_path / "a.pdparams"))
    save_weights(tmp_path / "a.safetensors", model.state_dict(), {"model": COMPONENT})
    for name in ("a.pdparams", "a.safetensors"):
        other = create_model(COMPONENT)
        assert load_weights(other, tmp_path / name).complete
        for key, tensor in other.state_dict().items():
            np.testing.assert_array_equal(tensor.numpy(), model.state_dict()[key].numpy())


def test_export_and_infer(model, tmp_path):
    import paddle_rsseg as rs
    from paddle_rsseg.inference.backends import DynamicBackend, PaddleInferenceBackend
    from paddle_rsseg.inference.spec import InferenceSpec

    spec = InferenceSpec(
        num_classes=5, in_channels=4, mean=(0.5,) * 4, std=(0.25,) * 4, window=(64, 64), stride=(48, 48)
    )
    path = rs.export(model, spec, tmp_path / "export")  # ends with the equality gate
    assert (path / "model.pdmodel").is_file()
    batch = image(2, 4, 45, 71)
    expected = DynamicBackend(model)(batch)
    assert np.abs(PaddleInferenceBackend(path, 1)(batch) - expected).max() < 1e-4 * np.abs(expected).max()

    import rasterio

    picture = np.random.default_rng(2).integers(0, 256, (4, 70, 101), np.uint8)
    # minisblack: four bands of 8 bit would be taken for RGB and alpha
    profile = {"height": 70, "width": 101, "count": 4, "dtype": "uint8", "photometric": "minisblack"}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **profile) as file:
        file.write(picture)
    expected = rs.Predictor(model, spec, backend="dynamic").predict(tmp_path / "a.tif").labels
    command = ["deploy/python/infer.py", "--config", path, "--image_path", tmp_path / "a.tif", "--save_dir", tmp_path]
    subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, check=True, timeout=300)
    seen = rs.Predictor(path).predict(tmp_path / "a.tif").labels
    with rasterio.open(tmp_path / "a_label.png") as file:
        np.testing.assert_array_equal(file.read(1), seen)
    assert (seen != expected).mean() < 1e-3


def test_a_graph_of_paddle_3_is_refused(tmp_path):
    from paddle_rsseg.errors import RssegError
    from paddle_rsseg.inference.backends import PaddleInferenceBackend

    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "model.pdiparams").write_bytes(b"")
    with pytest.raises(RssegError, match=r"cannot read a \.json graph"):  # Paddle itself would crash
        PaddleInferenceBackend(tmp_path)
