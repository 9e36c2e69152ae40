"""Files of Swin and MiT from elsewhere, and that the same arithmetic comes of them.

The other side of each comparison is written here with PyTorch's own modules, as the original builds it.
"""

from __future__ import annotations

import re

import numpy as np
import paddle
import pytest

from paddle_rsseg.models.backbones.mit import MiT
from paddle_rsseg.models.backbones.swin import Swin
from paddle_rsseg.weights import load_pretrained, load_weights

torch = pytest.importorskip("torch")

EMBEDDING = [(r"^patch_embed\.proj", "patch_embed.projection")]
#: our names → mmsegmentation's
SWIN_OF_MMSEG = [
    *EMBEDDING,
    (r"^layers\.", "stages."),
    (r"\.attn\.", ".attn.w_msa."),
    (r"\.mlp\.fc1\.", ".ffn.layers.0.0."),
    (r"\.mlp\.fc2\.", ".ffn.layers.1."),
]
MIT_OF_MMSEG = [
    (r"^patch_embed(\d)\.proj", lambda m: f"layers.{int(m[1]) - 1}.0.projection"),
    (r"^patch_embed(\d)\.norm", lambda m: f"layers.{int(m[1]) - 1}.0.norm"),
    (r"^block(\d)\.", lambda m: f"layers.{int(m[1]) - 1}.1."),
    (r"^norm(\d)\.", lambda m: f"layers.{int(m[1]) - 1}.2."),
    (r"\.attn\.proj\.", ".attn.attn.out_proj."),
    (r"\.mlp\.fc1\.", ".ffn.layers.0."),
    (r"\.mlp\.dwconv\.dwconv\.", ".ffn.layers.1."),
    (r"\.mlp\.fc2\.", ".ffn.layers.4."),
]


def swin() -> Swin:
    paddle.seed(0)
    return Swin(6, (2, 1, 1, 1), heads=1, window_size=2)


def mit() -> MiT:
    paddle.seed(0)
    return MiT((8, 16, 30, 16), (1, 1, 2, 1))


def renamed(encoder: paddle.nn.Layer, renames: list) -> dict[str, torch.Tensor]:
    """Random numbers under the other names, linear weights as PyTorch has them."""
    rng = np.random.default_rng(0)
    linear = {f"{name}.weight" for name, layer in encoder.named_sublayers() if isinstance(layer, paddle.nn.Linear)}
    file = {}
    for name, tensor in encoder.state_dict().items():
        shape = tensor.shape[::-1] if name in linear else tensor.shape
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        file[name] = torch.from_numpy(0.3 * rng.standard_normal(list(shape)).astype("float32"))
    return file


def loaded(encoder: paddle.nn.Layer, file: dict, tmp_path, name: str, load=load_weights):
    path = tmp_path / "file.pth"
    torch.save(file, path)
    report = load(encoder, path)
    assert name in report.layout
    assert report.complete
    encoder.eval()
    return report


def close(ours: paddle.Tensor, theirs: torch.Tensor) -> None:
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_swin_of_mmsegmentation(tmp_path):
    encoder = swin()
    file = renamed(encoder, SWIN_OF_MMSEG)
    file["stages.0.blocks.0.attn.w_msa.relative_position_index"] = torch.zeros(4, 4, dtype=torch.int64)
    report = loaded(encoder, file, tmp_path, "Swin of mmsegmentation")
    assert list(report.dropped) == ["stages.0.blocks.0.attn.w_msa.relative_position_index"]
    x = torch.randn(2, 6, 4, 6, generator=torch.Generator().manual_seed(0))
    # PatchMerging there: unfold, norm, linear
    patches = torch.nn.functional.unfold(x, 2, stride=2).transpose(1, 2)
    weight, bias = (file[f"stages.0.downsample.norm.{part}"] for part in ("weight", "bias"))
    merged = (
        torch.nn.functional.layer_norm(patches, [24], weight, bias) @ file["stages.0.downsample.reduction.weight"].T
    )
    ours = encoder.layers[0].downsample(paddle.to_tensor(x.permute(0, 2, 3, 1).numpy()))
    close(ours, merged.reshape(2, 2, 3, 12))


def test_mit_of_mmsegmentation(tmp_path):
    encoder = mit()
    file = renamed(encoder, MIT_OF_MMSEG)
    for name in [name for name in file if name.endswith((".attn.q.weight", ".attn.q.bias"))]:
        both = [file.pop(name), file.pop(name.replace(".q.", ".kv."))]
        file[name.replace(".q.", ".attn.in_proj_")] = torch.cat(both)
    for name in [name for name in file if re.search(r"\.ffn\.layers\.[04]\.weight", name)]:
        file[name] = file[name][:, :, None, None]
    loaded(encoder, file, tmp_path, "MiT of mmsegmentation")

    # the second block of the third stage: 30 channels, 5 heads, reduced twice
    x = torch.randn(2, 30, 6, 4, generator=torch.Generator().manual_seed(0))
    prefix = "layers.2.1.1."
    part = {name.removeprefix(prefix): tensor for name, tensor in file.items() if name.startswith(prefix)}
    attention = torch.nn.MultiheadAttention(30, 5, batch_first=True)
    attention.load_state_dict({n.removeprefix("attn.attn."): t for n, t in part.items() if n.startswith("attn.attn.")})
    reduced = torch.nn.functional.conv2d(x, part["attn.sr.weight"], part["attn.sr.bias"], stride=2).flatten(2)
    keys = torch.nn.functional.layer_norm(
        reduced.transpose(1, 2), [30], part["attn.norm.weight"], part["attn.norm.bias"]
    )
    theirs = attention(x.flatten(2).transpose(1, 2), keys, keys)[0].reshape(2, 6, 4, 30)
    block = encoder.block3[1]
    channels_last = paddle.to_tensor(x.permute(0, 2, 3, 1).numpy())
    close(block.attn(channels_last), theirs)

    ffn = torch.nn.functional.conv2d(x, part["ffn.layers.0.weight"], part["ffn.layers.0.bias"])
    ffn = torch.nn.functional.conv2d(ffn, part["ffn.layers.1.weight"], part["ffn.layers.1.bias"], padding=1, groups=120)
    ffn = torch.nn.functional.conv2d(
        torch.nn.functional.gelu(ffn), part["ffn.layers.4.weight"], part["ffn.layers.4.bias"]
    )
    close(block.mlp(channels_last), ffn.permute(0, 2, 3, 1))


@pytest.mark.parametrize("source", ["official", "timm"])
def test_a_classifier_begins_the_norms_of_the_maps(source, tmp_path):
    encoder = swin()
    file = {name: tensor for name, tensor in renamed(encoder, []).items() if not name.startswith("norm")}
    if source == "timm":  # merging at the beginning of the next stage
        for i in (2, 1, 0):
            for part in ("norm.weight", "norm.bias", "reduction.weight"):
                file[f"layers.{i + 1}.downsample.{part}"] = file.pop(f"layers.{i}.downsample.{part}")
    merging = file[f"layers.{int(source == 'timm')}.downsample.reduction.weight"].numpy()
    file |= {"norm.weight": torch.ones(48), "norm.bias": torch.ones(48), "head.weight": torch.ones(5, 48)}
    report = loaded(encoder, file, tmp_path, source, load_pretrained)
    assert sorted(report.dropped) == ["head.weight", "norm.bias", "norm.weight"]
    assert len(report.adapted) == 8
    assert (encoder.norm2.weight.numpy() == 1).all()
    assert (encoder.norm2.bias.numpy() == 0).all()
    np.testing.assert_array_equal(encoder.layers[0].downsample.reduction.weight.numpy(), merging.T)


def test_mit_of_the_release(tmp_path):
    encoder = mit()
    file = renamed(encoder, [])
    loaded(encoder, {**file, "head.weight": torch.ones(10, 16)}, tmp_path, "MiT, official release")
    np.testing.assert_array_equal(encoder.block2[0].attn.kv.weight.numpy(), file["block2.0.attn.kv.weight"].numpy().T)
