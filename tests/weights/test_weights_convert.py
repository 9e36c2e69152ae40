"""tools/convert_weights.py: a foreign file in, a native file with model and pre-processing out."""

import argparse
import zlib

import numpy as np
import pytest

from paddle_rsseg.cli import convert as command
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.weights import load_pretrained, load_weights, read_weights
from paddle_rsseg.weights.load import shapes_of

paddle = pytest.importorskip("paddle")
torch = pytest.importorskip("torch")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    """Paddle's ReLU turns NaN into 0: such a model would give labels, and pass the export's gate."""
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import save_weights

    model = create_model({"type": "FarSeg", "backbone": "ResNet18", "num_classes": 3})
    state = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    state["fpn.fpn_inner1.bias"][3] = np.nan
    save_weights(tmp_path / "a.safetensors", state, {})
    for load in (load_weights, load_pretrained):
        with pytest.raises(RssegError, match=r"1 tensors hold NaN or infinity \(fpn\.fpn_inner1\.bias\)"):
            load(model, tmp_path / "a.safetensors")
    assert np.isfinite(model.fpn.fpn_inner1.bias.numpy()).all()


def test_the_directory_of_a_run_is_met_with_its_checkpoints(tmp_path):
    for name in ("iter_9", "iter_10"):
        (tmp_path / name).mkdir()
        save_weights_to(tmp_path / name / "model.safetensors")
    with pytest.raises(RssegError, match=r"no model\.safetensors in this directory.*did you mean .*iter_10\?"):
        read_weights(tmp_path)
    (tmp_path / "best_model").mkdir()
    save_weights_to(tmp_path / "best_model" / "model.safetensors")
    with pytest.raises(RssegError, match=r"did you mean .*best_model\?"):
        read_weights(tmp_path)


def test_our_own_file_is_not_taken_for_the_official_release(tmp_path):
    from paddle_rsseg.models import create_model
    from paddle_rsseg.weights import save_weights

    model = create_model({"type": "FarSeg", "backbone": "ResNet18", "num_classes": 3})
    save_weights(tmp_path / "a.safetensors", model.state_dict(), {})
    assert load_weights(model, tmp_path / "a.safetensors").layout == "our own format"


def test_a_directory_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(RssegError, match=r"no/x\.safetensors: cannot be written \(No such file or directory\)"):
        save_weights_to(tmp_path / "no" / "x.safetensors")


def save_weights_to(path):
    from paddle_rsseg.weights import save_weights

    save_weights(path, {"x": np.ones(1, np.float32)}, {})


def run(*arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args([str(a) for a in arguments]))


def specified_value(name, shape):
    """The weights for which the specification of FarSeg states the logits."""
    v = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_var"):
        v = 0.8 + 0.2 * np.abs(v)
    elif name.endswith("running_mean"):
        v = 0.1 * v
    elif name.endswith("bias"):
        v = 0.05 * v
    elif len(shape) == 1:
        v = 0.5 + 0.05 * v
    else:
        v = v * np.sqrt(2 / np.prod(shape[1:])) * (0.1 if name.startswith("sr.scene_encoder") else 1)
    return torch.from_numpy(v.astype(np.float32))


def official(arch):
    """A checkpoint as the official release is saved: every name behind ``module.``, counters, optimiser, step."""
    from paddle_rsseg.models import create_model

    state = {"module.buffer_step": torch.tensor(60000.0)}
    for name, shape in shapes_of(create_model(arch)).items():
        if name.endswith("._variance"):
            state[f"module.{name.removesuffix('_variance')}num_batches_tracked"] = torch.tensor(60000)
        theirs = name.replace("._mean", ".running_mean").replace("._variance", ".running_var")
        state[f"module.{theirs}"] = specified_value(theirs, shape)
    return {"model": state, "opt": {"state": {}, "param_groups": []}, "global_step": 60000}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("official") / "farseg18.pth"
    torch.save(official("farseg_r18"), path)
    return path


def test_official_checkpoint(tmp_path, checkpoint, capsys):
    out = tmp_path / "farseg18.safetensors"
    run(checkpoint, out, "--arch", "farseg_r18")
    text = capsys.readouterr().out
    assert "missing     0" in text
    assert "  1: the step of the annealing; kept as loss_step beside the weights (module.buffer_step)" in text
    state, metadata = read_weights(out)
    assert metadata["loss_step"] == 60000
    assert metadata["model"] == {"type": "FarSeg", "backbone": "ResNet18", "num_classes": 16}
    spec = InferenceSpec.from_dict(metadata["inference"])
    assert (spec.window, spec.stride, spec.classes[2], spec.palette[12]) == (
        (896, 896), (512, 512), "storage tank", (0, 191, 127),
    )  # fmt: skip
    np.testing.assert_allclose(spec.mean, [0.485, 0.456, 0.406])
    # the file alone is enough to build the model
    from paddle_rsseg.models import create_model

    model = create_model(metadata["model"])
    load_weights(model, out)
    original = torch.load(checkpoint)["model"]
    np.testing.assert_array_equal(model.en.resnet.bn1._mean.numpy(), original["module.en.resnet.bn1.running_mean"])
    # and the foreign file loads into the same model without being converted first
    other = create_model(metadata["model"])
    load_weights(other, checkpoint)
    for name, tensor in other.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), state[name])


def test_swap_of_storage_tank_and_roundabout(tmp_path, checkpoint):
    run(checkpoint, tmp_path / "a.safetensors", "--arch", "farseg_r18")
    run(checkpoint, tmp_path / "b.safetensors", "--arch", "farseg_r18", "--swap_isaid_st_ra")
    plain, swapped = read_weights(tmp_path / "a.safetensors")[0], read_weights(tmp_path / "b.safetensors")[0]
    rows = [0, 1, 12, 3, 4, 5, 6, 7, 8, 9, 10, 11, 2, 13, 14, 15]
    for name in plain:
        expected = plain[name][rows] if name.startswith("cls_pred_conv") else plain[name]
        np.testing.assert_array_equal(swapped[name], expected)


def test_differences_stop_the_conversion(tmp_path, checkpoint):
    out = tmp_path / "a.safetensors"
    with pytest.raises(RssegError, match=r"missing .*--allow_partial"):
        run(checkpoint, out, "--arch", "farseg_r34")
    assert not out.exists()
    run(checkpoint, out, "--arch", "farseg_r34", "--allow_partial")
    assert "en.resnet.layer1.2.conv1.weight" not in read_weights(out)[0]
    with pytest.raises(RssegError, match=r"mis-shaped \(cls_pred_conv\.weight 16×128×1×1 for 5×128×1×1"):
        run(checkpoint, out, "--arch", "farseg_r18", "--num_classes", "5")
    with pytest.raises(RssegError, match="--arch"):
        run(checkpoint, out)


def test_an_encoder_file(tmp_path, checkpoint):
    content = torch.load(checkpoint)["model"]
    prefix = "module.en.resnet."
    resnet = {n.removeprefix(prefix): t for n, t in content.items() if n.startswith(prefix)}
    torch.save({**resnet, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, tmp_path / "resnet18.pth")
    out = tmp_path / "resnet18.safetensors"
    run(tmp_path / "resnet18.pth", out, "--arch", "farseg_r18")
    state, metadata = read_weights(out)
    assert metadata["backbone"] == "ResNet18"
    assert "model" not in metadata
    assert "conv1.weight" in state
    from paddle_rsseg.models import create_model

    for path in (tmp_path / "resnet18.pth", out):
        model = create_model("farseg_r18", num_classes=3)
        report = load_pretrained(model, path)
        assert report.backbone_only
        np.testing.assert_array_equal(model.en.resnet.conv1.weight.numpy(), resnet["conv1.weight"])


def test_converted_farseg50_gives_the_specified_logits(tmp_path):
    from paddle_rsseg.models import create_model

    torch.save(official("farseg_r50"), tmp_path / "farseg50.pth")
    model = create_model("farseg_r50")
    assert len(load_weights(model, tmp_path / "farseg50.pth").matched) == 382
    model.eval()
    image = np.random.RandomState(2020).standard_normal((1, 3, 64, 96)).astype(np.float32)
    with paddle.no_grad():
        logits = model(paddle.to_tensor(image))[0].numpy()
    expected = [0.1353, -0.04581, 0.0298, -0.09708, 0.03391, -0.22232, 0.00471, 0.09445, -0.16875, -0.09557, 0.24595,
                -0.25035, -0.17777, -0.08621, -0.14534, 0.18927]  # fmt: skip
    np.testing.assert_allclose(logits[0, :, 10, 20], expected, atol=2e-5)
    assert (logits.argmax(1) == 10).sum() == 5951
