"""The small encoders: MobileNetV2, ShuffleNetV2, and the aligned Xception of DeepLabV3+."""

from __future__ import annotations

from backbone_contract import BackboneContract


class TestMobileNetV2(BackboneContract):
    spec = {"type": "MobileNetV2"}
    parameters = 3_504_872 - 1_281_000 - 320 * 1280 - 2 * 1280  # torchvision's, less classifier and last convolution
    output_strides = (8, 16, 32)


class TestMobileNetV2OfSegHZ(BackboneContract):
    spec = {"type": "MobileNetV2", "output_stride": 16, "dilation": "next_stage", "zeros": "block", "finest_stride": 2}
    strides = (2, 4, 8, 16, 16)


class TestShuffleNetV2(BackboneContract):
    spec = {"type": "ShuffleNetV2"}
    parameters = 2_278_604 - 1_025_000 - 464 * 1024 - 2 * 1024
    output_strides = (8, 16, 32)


class TestXception(BackboneContract):
    spec = {"type": "Xception"}
    strides = (4, 8, 16, 16)
    output_strides = (8, 16)
