"""A file written by PyTorch, taken all the way: verified, converted, exported, and its labels compared."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from torch_packages import randomise, smp, timm, torchvision

import paddle_rsseg as rs
from paddle_rsseg.cli.main import main
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.backends import PaddleInferenceBackend
from paddle_rsseg.weights import load_weights, verify
from paddle_rsseg.weights.architecture import Architecture

torch = pytest.importorskip("torch")
ROOT = Path(__file__).parents[2]
REFERENCE = pytest.mark.reference


def farseg():
    source = importlib.util.spec_from_file_location("torch_farseg", ROOT / "benchmarks/peers/torch_farseg.py")
    module = importlib.util.module_from_spec(source)
    source.loader.exec_module(module)
    torch.manual_seed(0)
    return module.FarSeg(18, 5)


def deeplab():
    torch.manual_seed(0)
    return smp().DeepLabV3Plus("resnet18", encoder_weights=None, classes=5)


#: smp dilates every 3×3 of its last stage alike
DEEPLAB = "{type: DeepLabV3Plus, wiring: smp, backbone: {type: ResNet18, contract_dilation: false}}"


@pytest.mark.parametrize(
    ("build", "arch"), [pytest.param(farseg, "farseg_r18", marks=REFERENCE), pytest.param(deeplab, DEEPLAB)]
)
def test_a_file_of_torch_converted_exported_and_run_gives_torchs_labels(tmp_path, build, arch, capsys):
    theirs = randomise(build())
    torch.save({"state_dict": theirs.state_dict(), "epoch": 3}, tmp_path / "theirs.pth")
    assert (
        main(["weights", "convert", str(tmp_path / "theirs.pth"), str(tmp_path / "ours.safetensors"), "--arch", arch])
        == 0
    )
    assert "missing     0" in capsys.readouterr().out
    exported = PaddleInferenceBackend(rs.export(tmp_path / "ours.safetensors", save_dir=tmp_path / "export"))
    for seed, size in enumerate([(64, 96), (128, 64)]):
        image = np.random.default_rng(seed).standard_normal((2, 3, *size)).astype(np.float32)
        with torch.no_grad():
            out = theirs(torch.from_numpy(image))
        expected = (out[0] if isinstance(out, (list, tuple)) else out).numpy()
        found = exported(image)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
        assert len(np.unique(expected.argmax(1))) > 1, "one label everywhere would prove nothing"
        np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


def in_torchvision(name):
    return lambda: getattr(torchvision().models, name)(weights=None)


def in_timm(name):
    return lambda: timm().create_model(name, pretrained=False)


def in_smp(name):
    return lambda: smp().encoders.get_encoder(name, weights=None)


@pytest.mark.parametrize(
    ("build", "arch"),
    [
        pytest.param(build, arch, id=arch.strip("{").split(",")[0], marks=() if arch == "ResNet18" else REFERENCE)
        for build, arch in [
            (in_torchvision("resnet18"), "ResNet18"),
            (in_torchvision("mobilenet_v2"), "MobileNetV2"),
            (in_torchvision("shufflenet_v2_x1_0"), "ShuffleNetV2"),
            (in_torchvision("vgg16_bn"), "VGG16_bn"),
            (in_timm("hrnet_w18_small_v2"), "HRNetV2_W18_Small_V2"),
            (in_timm("resnest50d"), "ResNeSt50"),
            (in_timm("legacy_seresnet50"), "SEResNet50"),
            (in_smp("mit_b0"), "MiTB0"),
            (in_smp("efficientnet-b0"), "EfficientNetB0"),
            (deeplab, DEEPLAB),
        ]
    ],
)
def test_verify(tmp_path, build, arch, capsys):
    torchvision()  # so that the packages can be imported
    torch.save(randomise(build()).state_dict(), tmp_path / "a.pth")
    assert main(["weights", "verify", str(tmp_path / "a.pth"), "--arch", arch]) == 0, capsys.readouterr().err
    text = capsys.readouterr().out
    assert "the same network as in" in text
    assert text.count("×") > 20, "a line for each map and size"


@REFERENCE
def test_verify_sees_another_network(tmp_path, capsys):
    """Contracted dilation has the same tensors and gives other maps."""
    torch.save(randomise(deeplab()).state_dict(), tmp_path / "a.pth")
    arch = DEEPLAB.replace("false", "true")
    assert main(["weights", "verify", str(tmp_path / "a.pth"), "--arch", arch]) == 1
    assert "NOT the same network as in segmentation_models_pytorch" in capsys.readouterr().out


def test_verify_sees_a_wrong_value(tmp_path, monkeypatch):
    torch.save(randomise(torchvision().models.resnet18(weights=None)).state_dict(), tmp_path / "a.pth")

    def spoiled(model, path, layout=None):
        load_weights(model, path)
        model.layer4[1].bn2.bias.set_value(model.layer4[1].bn2.bias + 0.1)

    monkeypatch.setattr(verify, "load_weights", spoiled)
    result = verify.verify(tmp_path / "a.pth", "ResNet18")
    assert [stage.relative <= verify.TOLERANCE for stage in result.stages] == 2 * [True, True, True, False]


def test_verify_says_what_is_missing(tmp_path, monkeypatch):
    torch.save(torchvision().models.resnet18(weights=None).state_dict(), tmp_path / "a.pth")
    with pytest.raises(RssegError, match=r"torchvision: its network has other names than this file"):
        verify.verify(tmp_path / "a.pth", "ResNet50")
    with pytest.raises(RssegError, match="no PyTorch package is known to hold FarSeg"):
        verify.verify(tmp_path / "a.pth", Architecture({"type": "FarSeg", "num_classes": 2}, False).spec)

    real = verify.importlib.import_module

    def without(name):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name)

    monkeypatch.setattr(verify.importlib, "import_module", without)
    with pytest.raises(RssegError, match=r"torch is not installed \(pip install torch torchvision\)"):
        verify.verify(tmp_path / "a.pth", "ResNet18")
