"""HRNet: the encoder and the networks on it."""

from __future__ import annotations

from backbone_contract import BackboneContract
from contract import ModelContract


class TestHRNetV2W18SmallV1(BackboneContract):
    spec = {"type": "HRNetV2_W18_Small_V1"}


class TestHRNetV2SamePadding(BackboneContract):
    spec = {"type": "HRNetV2_W18_Small_V1", "fuse": "centres", "padding": "same"}


class TestHRNet(ModelContract):
    spec = {"type": "HRNet", "backbone": "HRNetV2_W18_Small_V1"}


class TestHRNetOCR(ModelContract):
    spec = {
        "type": "HRNetOCR",
        "backbone": "HRNetV2_W18_Small_V1",
        "wiring": "paddleseg",
        "ocr_channels": 32,
        "key_channels": 16,
    }
    train_outputs = 2
