"""BiSeNet against a PyTorch module written from its formulas, on torchvision's ResNet-18.

SegHZ's own cannot run: a file is missing. The module keeps our names, so that every tensor must find its place.
"""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from torch_packages import randomise, torchvision

from paddle_rsseg.alignment.run import default_dtype
from paddle_rsseg.models import create_model
from paddle_rsseg.models.cost import learnable

CLASSES = 5


def twin(wiring: str, bins: tuple[int, ...] | None):
    """The module, and what it takes to know the outputs: main, and of the maps at 1/16."""
    models = torchvision().models
    import torch
    import torch.nn.functional as F
    from torch import nn

    def unit(inputs, outputs, kernel, stride=1):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())

    def up(x, like):
        return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)

    def seghz_resnet():
        resnet = models.resnet18(weights=None)
        resnet.layer4.append(models.resnet.BasicBlock(512, 512))
        for block, dilation in zip(resnet.layer4, (2, 4, 8), strict=True):
            for conv in (block.conv1, block.conv2):
                conv.stride, conv.dilation, conv.padding = (1, 1), (dilation,) * 2, (dilation,) * 2
        resnet.layer4[0].downsample[0].stride = (1, 1)
        del resnet.fc
        return resnet

    class Squeeze(nn.Module):
        def __init__(self, width, reduction, norm):
            super().__init__()
            self.fc1 = nn.Conv2d(width, width // reduction, 1, bias=not norm)
            self.norm = nn.BatchNorm2d(width // reduction) if norm else nn.Identity()
            self.fc2 = nn.Conv2d(width // reduction, width, 1)

        def forward(self, x):
            mean = F.adaptive_avg_pool2d(x, 1)
            return torch.sigmoid(self.fc2(F.relu(self.norm(self.fc1(mean)))))

    class Attention(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.query, self.key = (nn.Conv2d(width, width // 8, 1) for _ in range(2))
            self.value = nn.Conv2d(width, width, 1)
            self.gamma = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            q, k, v = (part(x).flatten(2) for part in (self.query, self.key, self.value))
            weights = torch.einsum("nci,ncj->nij", q, k).softmax(2)
            return self.gamma * torch.einsum("nij,ncj->nci", weights, v).reshape(x.shape) + x

    class BiSeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = seghz_resnet()
            self.spatial = nn.Sequential(unit(3, 8, 3, 2), unit(8, 16, 3, 2), unit(16, 32, 3, 2))
            self.refinements = nn.ModuleList([Squeeze(256, 16, True), Squeeze(512, 16, True)])
            self.aux_heads = nn.ModuleList([nn.Conv2d(256, CLASSES, 1), nn.Conv2d(512, CLASSES, 1)])
            deep = 768
            if bins:
                self.pyramid = nn.Module()
                self.pyramid.pools = nn.ModuleList([unit(512, 512 // len(bins), 1) for _ in bins])
                deep += len(bins) * (512 // len(bins))
            self.head = nn.Module()
            self.head.fusion = nn.Module()
            fused = (deep, 16) if wiring == "split" else (32 + deep, 32)
            self.head.fusion.conv = unit(*fused, 3)
            self.head.fusion.squeeze = Squeeze(fused[1], 8, False)
            self.head.conv = unit(48 if wiring == "split" else 32, 32, 1)
            self.head.attention = Attention(32)
            deconv = nn.ConvTranspose2d(32, 32, 4, 2, 1, bias=False)
            self.head.up = nn.Sequential(deconv, nn.BatchNorm2d(32), nn.ReLU())
            self.head.classifier = nn.Conv2d(32, CLASSES, 1)

        def fuse(self, *maps):
            x = self.head.fusion.conv(torch.cat(maps, 1))
            return x + x * self.head.fusion.squeeze(x)

        def forward(self, image):
            b, x = self.backbone, image
            x = b.maxpool(b.relu(b.bn1(b.conv1(x))))
            cx1 = b.layer3(b.layer2(b.layer1(x)))
            cx2 = b.layer4(cx1)
            cx1, cx2 = (x * refine(x) for x, refine in zip((cx1, cx2), self.refinements, strict=True))
            auxiliary = [head(x) for head, x in zip(self.aux_heads, (cx1, cx2), strict=True)]
            if bins:
                pooled = [F.adaptive_avg_pool2d(cx2, n) for n in bins]
                maps = [up(pool(x), cx2) for pool, x in zip(self.pyramid.pools, pooled, strict=True)]
                cx2 = torch.cat([cx2, *maps], 1)
            shallow = self.spatial(image)
            cx1, cx2 = up(cx1, shallow), up(cx2, shallow)
            if wiring == "split":
                joined = torch.cat([shallow, self.fuse(cx1, cx2)], 1)
            else:
                joined = self.fuse(shallow, cx1, cx2)
            main = self.head.classifier(self.head.up(self.head.attention(self.head.conv(joined))))
            return [up(logits, image) for logits in (main, *auxiliary)]

    torch.manual_seed(0)
    network = randomise(BiSeNet())
    with torch.no_grad():
        network.head.attention.gamma.fill_(0.7)
    return network.double()


@pytest.mark.parametrize(("wiring", "bins"), [("split", None), ("split", (1, 2, 3, 6)), ("baseline", (1, 3, 6))])
def test_outputs_and_every_gradient(wiring, bins):
    theirs = twin(wiring, bins)
    import torch

    with default_dtype("float64"):
        ours = create_model(
            {
                "type": "BiSeNet", "num_classes": CLASSES, "backbone": "ResNet18", "wiring": wiring, "bins": bins,
                "spatial_channels": (8, 16, 32), "channels": 32, "context_channels": 16,
            }
        )  # fmt: skip
        rename = {"running_mean": "_mean", "running_var": "_variance"}
        state = {}
        for name, tensor in theirs.state_dict().items():
            layer, _, kind = name.rpartition(".")
            if kind != "num_batches_tracked":
                state[f"{layer}.{rename.get(kind, kind)}".lstrip(".")] = tensor.numpy()
        assert {name: list(array.shape) for name, array in state.items()} == {
            name: tensor.shape for name, tensor in ours.state_dict().items()
        }
        ours.set_state_dict(state)
        x = np.random.default_rng(0).standard_normal((2, 3, 75, 61))
        weights = np.random.default_rng(1).standard_normal((3, 2, CLASSES, 75, 61))  # of the outputs, for one number

        ours.eval()
        theirs.eval()
        expected = theirs(torch.from_numpy(x))[0].detach().numpy()
        np.testing.assert_allclose(ours(paddle.to_tensor(x))[0].numpy(), expected, atol=1e-11 * np.abs(expected).max())

        ours.train()
        theirs.train()
        one, other = ours(paddle.to_tensor(x)), theirs(torch.from_numpy(x))
        paddle.add_n([(y * paddle.to_tensor(w)).sum() for y, w in zip(one, weights, strict=True)]).backward()
        sum((y * torch.from_numpy(w)).sum() for y, w in zip(other, weights, strict=True)).backward()
    for y, z in zip(one, other, strict=True):
        largest = z.detach().abs().max().item()
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), atol=1e-10 * largest)
    gradients = {name: parameter.grad.numpy() for name, parameter in theirs.named_parameters()}
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    assert set(learnable(ours)) == set(gradients)
    for name, parameter in learnable(ours).items():
        np.testing.assert_allclose(
            parameter.grad.numpy(), gradients[name], rtol=1e-7, atol=1e-10 * largest, err_msg=name
        )
