"""Image, label and validity stay in step; inputs are never written to; any bands, any number type."""

import inspect

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddle_rsseg.data import transforms as T
from paddle_rsseg.errors import RssegError
from paddle_rsseg.inference.spec import InferenceSpec
from paddle_rsseg.registry import TRANSFORMS

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


def tagged(height=13, width=9, bands=3, dtype="uint8", holes=False):
    """Pixel values say where they came from: band b of pixel i is i + b, its label is i modulo 100."""
    index = np.arange(height * width).reshape(height, width)
    image = (index[..., None] + np.arange(bands)).astype(dtype)
    valid = None
    if holes:
        valid = index % 7 != 0
    return {"image": image, "label": (index % 100).astype(np.uint8), "valid": valid, "name": "a.tif", "index": 0}


def frozen(sample):
    for value in sample.values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return sample


def shape_preserving_checks(sample, out):
    h, w = out["image"].shape[:2]
    assert out["label"].shape == (h, w)
    assert out["image"].shape[2] == sample["image"].shape[2]
    assert out["image"].dtype == sample["image"].dtype
    assert out["label"].dtype == np.uint8
    if sample["valid"] is not None:
        assert out["valid"].shape == (h, w)
        assert out["valid"].dtype == bool


moves = st.lists(
    st.sampled_from(
        [
            {"type": "RandomHorizontalFlip", "prob": 1},
            {"type": "RandomHorizontalFlip"},
            {"type": "RandomVerticalFlip", "prob": 1},
            {"type": "RandomRotate90K"},
            {"type": "RandomRotate90K", "K": [1, 3]},
            {"type": "RandomTranspose"},
            {"type": "FewShotCrop", "classes": [3, 50], "crop_size": 6},
            {"type": "RandomPaddingCrop", "crop_size": [5, 8], "im_padding_value": 0, "label_padding_value": 255},
            {"type": "RandomPaddingCrop", "crop_size": [11, 4], "im_padding_value": 0, "label_padding_value": 255},
        ]
    ),
    max_size=5,
)


@given(
    moves, st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 7]), st.booleans(), st.integers(0, 1 << 30)
)
@settings(max_examples=150, deadline=None)
def test_pixels_move_together(transforms, height, width, bands, holes, seed):
    sample = frozen(tagged(height, width, bands, "uint16", holes))
    out = T.Compose(transforms)(sample, np.random.default_rng(seed))
    inside = out["label"] != 255
    first = out["image"][..., 0]
    assert np.array_equal(first[inside] % 100, out["label"][inside])
    for band in range(bands):
        assert np.array_equal(out["image"][inside][:, band], first[inside] + band)
    if holes:
        assert np.array_equal(out["valid"][inside], first[inside] % 7 != 0)
        assert not out["valid"][~inside].any()
    assert (out["image"][~inside] == 0).all()


def test_rotations_turn_counter_clockwise():
    sample = tagged(2, 3, 1)
    out = T.RandomRotate90K(K=[1])(sample, np.random.default_rng(0))
    assert out["image"][..., 0].tolist() == [[2, 5], [1, 4], [0, 3]]


EVERYTHING = [
    {"type": "RandomHorizontalFlip"},
    {"type": "RandomVerticalFlip", "prob": 0.5},
    {"type": "RandomRotate90K"},
    {"type": "RandomTranspose"},
    {"type": "RandomRotation", "max_rotation": 30},
    {"type": "Resize", "target_size": [20, 16], "interp": "RANDOM"},
    {"type": "Resize", "target_size": [20, 20], "keep_ratio": True, "size_divisor": 8},
    {"type": "ResizeByLong", "long_size": 17},
    {"type": "ResizeByShort", "short_size": 11},
    {"type": "ResizeRangeScaling", "min_value": 8, "max_value": 20},
    {"type": "ResizeRangeScaling", "min_value": 8, "max_value": 20, "side": "short"},
    {"type": "ResizeStepScaling", "min_scale_factor": 0.5, "max_scale_factor": 2.0},
    {"type": "RandomPaddingCrop", "crop_size": [8, 12], "category_max_ratio": 0.75},
    {"type": "FewShotCrop", "classes": [1, 2, 3], "crop_size": 8},
    {"type": "RandomScaleAspect"},
    {"type": "Padding", "target_size": [30, 40]},
    {"type": "PaddingByAspectRatio", "aspect_ratio": 1.5},
    {"type": "RandomBlur", "prob": 1, "blur_type": "random"},
    {"type": "RandomBlur", "prob": 1, "sigma": [0, 1]},
    {"type": "RandomNoise", "prob": 1},
    {"type": "RandomDistort", "saturation_prob": 0, "hue_prob": 0, "sharpness_prob": 0.5},
    {"type": "PhotoMetricDistortion", "saturation_range": [1, 1], "hue_delta": 0, "prob": 0.8},
    {"type": "OneOf", "transforms": [{"type": "RandomRotate90K", "K": [1]}, {"type": "RandomHorizontalFlip"}]},
]


@pytest.mark.parametrize("spec", EVERYTHING, ids=lambda spec: spec["type"])
@pytest.mark.parametrize("bands", [1, 3, 4, 5, 10])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_bands_and_type_without_touching_the_input(spec, bands, dtype):
    transform = TRANSFORMS.build(spec)
    for seed, holes in ((0, False), (1, True), (2, False)):
        sample = frozen(tagged(bands=bands, dtype=dtype, holes=holes))
        before = {k: v.copy() for k, v in sample.items() if isinstance(v, np.ndarray)}
        out = transform(sample, np.random.default_rng(seed))
        shape_preserving_checks(sample, out)
        again = transform(sample, np.random.default_rng(seed))
        assert np.array_equal(out["image"], again["image"])
        for key, value in before.items():
            assert np.array_equal(sample[key], value)


def test_every_transform_is_tried_above_and_annotated():
    tried = {spec["type"] for spec in EVERYTHING} | {"Normalize", "SelectBands"}
    assert set(TRANSFORMS.names()) == tried
    for name in tried:
        for parameter in list(inspect.signature(TRANSFORMS.get(name)).parameters.values()):
            assert parameter.annotation is not parameter.empty, f"{name}.{parameter.name}"


def test_random_numbers_come_from_rng_alone():
    sample = tagged(20, 20)
    chain = T.Compose([*EVERYTHING[:5], {"type": "RandomDistort"}])
    np.random.seed(0)  # noqa: NPY002
    first = chain(sample, np.random.default_rng(3))["image"]
    np.random.seed(1)  # noqa: NPY002
    assert np.array_equal(first, chain(sample, np.random.default_rng(3))["image"])
    assert not np.array_equal(first, chain(sample, np.random.default_rng(4))["image"])


def test_sizes_are_width_height():
    sample, rng = tagged(), np.random.default_rng(0)
    assert T.Resize([20, 16])(sample, rng)["image"].shape[:2] == (16, 20)
    assert T.RandomPaddingCrop([20, 16])(sample, rng)["image"].shape[:2] == (16, 20)
    assert T.Padding([20, 16])(sample, rng)["image"].shape[:2] == (16, 20)


@pytest.mark.parametrize("interp", ["NEAREST", "LINEAR", "CUBIC", "AREA"])
def test_resize_equals_opencv_band_by_band(interp):
    image = np.random.default_rng(0).integers(0, 60000, (31, 23, 6), dtype=np.uint16)
    sample = {**tagged(31, 23), "image": image}
    out = T.Resize([17, 40], interp=interp)(sample, np.random.default_rng(0))
    flag = getattr(cv2, f"INTER_{interp}")
    for band in range(6):
        expected = cv2.resize(image[..., band], (17, 40), interpolation=flag)
        # OpenCV itself rounds differently with one channel and with four
        assert np.abs(out["image"][..., band].astype(int) - expected).max() <= (interp in ("LINEAR", "CUBIC"))
    assert np.array_equal(out["label"], cv2.resize(sample["label"], (17, 40), interpolation=cv2.INTER_NEAREST))


def test_32_bit_integers_keep_what_float32_would_lose():
    image = np.full((8, 8, 1), 16_777_217, np.int32)
    out = T.Resize([5, 5])({**tagged(8, 8), "image": image}, np.random.default_rng(0))
    assert (out["image"] == 16_777_217).all()


@pytest.mark.parametrize("spec", ["Resize", "RandomRotation", "RandomBlur"])
def test_nodata_does_not_bleed(spec):
    arguments = {
        "Resize": {"target_size": [37, 41]},
        "RandomRotation": {"im_padding_value": 100},
        "RandomBlur": {"prob": 1},
    }
    image = np.full((30, 30, 2), 100, np.int16)
    valid = np.ones((30, 30), bool)
    valid[:, :12] = False
    image[~valid] = -9999
    sample = {"image": image, "label": np.zeros((30, 30), np.uint8), "valid": valid}
    out = TRANSFORMS.build({"type": spec, **arguments[spec]})(sample, np.random.default_rng(0))
    assert (out["image"][out["valid"]] == 100).all()
    assert not out["valid"].all()
    assert out["valid"].any()


def test_rotation_marks_its_corners():
    sample = tagged(40, 40, 5, "uint16")
    sample["label"][:] = 1
    out = T.RandomRotation(45, im_padding_value=[1, 2, 3, 4, 5])(sample, np.random.default_rng(0))
    outside = out["label"] == 255
    assert outside.any()
    assert (out["image"][outside] == [1, 2, 3, 4, 5]).all()
    assert (out["label"][~outside] == 1).all()


def test_padding_value_is_rounded_like_opencv():
    out = T.Padding([12, 14])(tagged(), np.random.default_rng(0))
    assert out["image"][-1, -1].tolist() == [128, 128, 128]
    assert out["label"][-1, -1] == 255
    with pytest.raises(RssegError, match=r"a\.tif: 9×13 pixels"):
        T.Padding([8, 14])(tagged(), np.random.default_rng(0))


def test_crops_reach_every_place():
    sample = {"image": tagged(6, 5, 1)["image"]}
    corners = {int(T.RandomPaddingCrop([4, 4])(sample, np.random.default_rng(s))["image"][0, 0, 0]) for s in range(99)}
    assert corners == {0, 1, 5, 6, 10, 11}


def test_noise_stays_in_the_range_of_the_type():
    for value in (0, 255):
        sample = {"image": np.full((50, 50, 3), value, np.uint8)}
        seen = T.RandomNoise(prob=1, max_sigma=30)(sample, np.random.default_rng(0))["image"].astype(int)
        assert 0 < np.abs(seen - value).max() < 150
        assert (seen == value).mean() > 0.4


def test_balanced_crops_avoid_one_class():
    sample = tagged(40, 40)
    sample["label"] = np.zeros((40, 40), np.uint8)
    sample["label"][:8, :8] = 1
    crop = T.RandomPaddingCrop([10, 10], category_max_ratio=0.9, loop_times=200)
    for seed in range(20):
        counts = np.bincount(crop(sample, np.random.default_rng(seed))["label"].ravel(), minlength=2)
        assert counts.max() <= 90


def test_normalize_is_the_one_of_inference():
    sample = frozen(tagged(bands=4, dtype="uint16", holes=True))
    mean, std = (0.1, 0.2, 0.3, 0.4), (0.5, 0.6, 0.7, 0.8)
    out = T.Normalize(mean, std)(sample, np.random.default_rng(0))["image"]
    spec = InferenceSpec(num_classes=2, in_channels=4, mean=mean, std=std)
    assert np.array_equal(out, spec.normalize(sample["image"], sample["valid"]))
    expected = (sample["image"] / 65535 - mean) / std
    assert np.abs(out - expected)[sample["valid"]].max() < 1e-6
    assert (out[~sample["valid"]] == 0).all()
    with pytest.raises(RssegError, match=r"a\.tif: 4 bands for 3 values"):
        T.Normalize([0.1] * 3, [0.1] * 3)(sample, np.random.default_rng(0))
    with pytest.raises(RssegError, match="above 0"):
        T.Normalize([0.1], [0.0])


def test_select_bands():
    out = T.SelectBands([4, 1])(tagged(bands=4), np.random.default_rng(0))
    assert out["image"][0, 0].tolist() == [3, 0]
    with pytest.raises(RssegError, match="band 5 of 4"):
        T.SelectBands([5])(tagged(bands=4), np.random.default_rng(0))


def test_colour_distortions_say_what_they_cannot_do():
    rng = np.random.default_rng(0)
    with pytest.raises(RssegError, match=r"4 bands of uint8.*saturation_prob: 0"):
        T.RandomDistort()(tagged(bands=4), rng)
    with pytest.raises(RssegError, match=r"uint16.*hue_prob: 0"):
        T.RandomDistort()(tagged(dtype="uint16"), rng)
    assert T.RandomDistort()(tagged(), rng)["image"].dtype == np.uint8


def distort(name, image, **ranges):
    probs = {f"{n}_prob": float(n == name) for n in ("brightness", "contrast", "saturation", "hue", "sharpness")}
    return T.RandomDistort(**ranges, **probs)({"image": image, "name": ""}, np.random.default_rng(5))["image"]


def test_distortions_do_what_their_names_say():
    image = np.random.default_rng(0).integers(60, 180, (30, 30, 3), dtype=np.uint8)
    bright = distort("brightness", image).astype(float)
    factor = bright.mean() / image.mean()
    assert abs(factor - 1) > 0.01
    assert np.abs(bright - (image * factor).clip(0, 255)).max() < 2
    contrast = distort("contrast", image)
    assert abs(contrast.astype(float).std() - image.std()) > 1
    assert abs(contrast.mean() - image.mean()) < 3
    grey = np.repeat(image[..., :1], 3, axis=2)
    assert np.abs(distort("saturation", grey).astype(int) - grey).max() <= 1
    assert np.abs(distort("hue", grey).astype(int) - grey).max() <= 1
    hue = distort("hue", image).astype(int)
    assert np.abs(hue - image).max() > 3
    assert np.abs(hue.max(axis=2) - image.max(axis=2)).max() <= 1  # hue leaves the value alone
    assert np.abs(distort("sharpness", np.full_like(image, 90)).astype(int) - 90).max() == 0


OUT_OF_RANGE = [
    *[(name, {"prob": p}) for name in ("RandomHorizontalFlip", "RandomVerticalFlip") for p in (2, -0.1, float("nan"))],
    ("RandomNoise", {"prob": 1.5}),
    ("RandomNoise", {"max_sigma": -1}),
    ("RandomBlur", {"prob": 5}),
    ("RandomBlur", {"sigma": [1, 0.5]}),
    ("RandomBlur", {"blur_type": "median", "sigma": [0, 1]}),
    ("RandomTranspose", {"prob": 2}),
    ("ResizeRangeScaling", {"side": "both"}),
    ("PhotoMetricDistortion", {"brightness_delta": 300}),
    ("PhotoMetricDistortion", {"contrast_range": [0.5]}),
    ("PhotoMetricDistortion", {"saturation_range": [-1, 1]}),
    ("PhotoMetricDistortion", {"hue_delta": 91}),
    ("PhotoMetricDistortion", {"prob": float("nan")}),
    ("FewShotCrop", {"classes": []}),
    ("FewShotCrop", {"classes": [256]}),
    ("FewShotCrop", {"classes": [1], "version": "v3"}),
    ("FewShotCrop", {"classes": [1], "crop_size": 0}),
    ("FewShotCrop", {"classes": [1], "overlap": 1}),
    ("FewShotCrop", {"classes": [1], "min_ratio": 2}),
    ("RandomDistort", {"hue_prob": 2}),
    ("RandomDistort", {"brightness_range": 1.5}),
    ("RandomRotate90K", {"K": [0, 5]}),
    ("RandomRotation", {"max_rotation": -3}),
    ("RandomRotation", {"label_padding_value": 256}),
    ("Normalize", {"scale": 0}),
    ("Resize", {"size_divisor": 0}),
    ("ResizeByLong", {"long_size": 0}),
    ("ResizeByShort", {"short_size": []}),
    ("ResizeByShort", {"short_size": [64, 0]}),
    ("ResizeStepScaling", {"scale_step_size": -0.25}),
    ("Padding", {"target_size": [8, 8], "label_padding_value": -1}),
    ("PaddingByAspectRatio", {"aspect_ratio": 0}),
    ("RandomPaddingCrop", {"label_padding_value": 1000}),
    ("RandomScaleAspect", {"min_scale": 2}),
    ("OneOf", {"transforms": []}),
    ("OneOf", {"transforms": [{"type": "RandomHorizontalFlip"}], "prob": 2}),
]


@pytest.mark.parametrize(("name", "arguments"), OUT_OF_RANGE)
def test_values_out_of_range_are_refused_at_once(name, arguments):
    key = next(key for key in reversed(arguments))
    with pytest.raises(RssegError, match=rf"^{name}\.{key}: .*; expected "):
        TRANSFORMS.build({"type": name, **arguments})


def test_one_of_chooses_evenly_and_applies_one():
    choice = TRANSFORMS.build(
        {
            "type": "OneOf",
            "prob": 0.75,
            "transforms": [{"type": "RandomHorizontalFlip", "prob": 1}, {"type": "RandomVerticalFlip", "prob": 1}],
        }
    )
    image = np.arange(4).reshape(2, 2, 1)
    counts = {(0, 1, 2, 3): 0, (1, 0, 3, 2): 0, (2, 3, 0, 1): 0}  # as it is, left-right, top-bottom; never both
    rng = np.random.default_rng(0)
    for _ in range(800):
        counts[tuple(choice({"image": image, "valid": None}, rng)["image"].ravel().tolist())] += 1
    assert counts[0, 1, 2, 3] == pytest.approx(200, abs=40)
    assert counts[1, 0, 3, 2] == pytest.approx(300, abs=45)
