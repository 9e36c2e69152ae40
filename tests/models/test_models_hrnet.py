"""HRNet: the encoder and the networks on it."""

from __future__ import annotations

from backbone_contract import BackboneContract


class TestHRNetV2W18SmallV1(BackboneContract):
    spec = {"type": "HRNetV2_W18_Small_V1"}


class TestHRNetV2SamePadding(BackboneContract):
    spec = {"type": "HRNetV2_W18_Small_V1", "fuse": "centres", "padding": "same"}
