"""The transforms of the source systems' recipes, against their definitions."""

import cv2
import numpy as np
import pytest

from paddle_rsseg.data import transforms as T
from paddle_rsseg.errors import RssegError


def draws(transform, sample, count):
    return [transform(sample, np.random.default_rng(seed)) for seed in range(count)]


# --- few-shot crops ------------------------------------------------------------------------------------------------


def tile(*blocks, size=512):
    """A label with class 9 in some 128² blocks (row, column) and class 0 elsewhere; pixels say where they are."""
    label = np.zeros((size, size), np.uint8)
    for y, x in blocks:
        label[128 * y : 128 * y + 128, 128 * x : 128 * x + 128] = 9
    ys, xs = np.mgrid[:size, :size]
    return {"image": np.stack([ys, xs], 2).astype(np.uint16), "label": label, "valid": None, "name": "a"}


def corners(transform, sample, count=80):
    return {tuple(out["image"][0, 0].tolist()) for out in draws(transform, sample, count)}


NINE = {(y, x) for y in (0, 128, 256) for x in (0, 128, 256)}


@pytest.mark.parametrize("version", ["v0", "v1", "v2"])
def test_windows_with_enough_buildings_are_drawn_from(version):
    # the block at (0, 0) is a quarter of the window there, and lies in no other one
    crop = T.FewShotCrop([8, 9], version)
    assert corners(crop, tile((0, 0))) == {(0, 0)}
    # the one at (1, 1) lies in the four windows that begin at 0 or 128
    assert corners(crop, tile((1, 1))) == {(y, x) for y in (0, 128) for x in (0, 128)}
    assert corners(crop, tile((1, 1), (3, 3))) == {(y, x) for y in (0, 128) for x in (0, 128)} | {(256, 256)}
    for out in draws(crop, tile((1, 1)), 5):
        assert out["label"].shape == (256, 256)
        assert (out["label"] == 9).sum() == 128 * 128


def test_without_such_a_window_the_versions_differ():
    few = tile()
    few["label"][256:276, 256:356] = 9  # 2,000 of 65,536 pixels, where four windows overlap
    few["label"][500:510, 500:510] = 9  # and 100 more in one of them
    assert corners(T.FewShotCrop([9], "v1"), few) == {(256, 256)}
    assert corners(T.FewShotCrop([9], "v2"), few) == NINE
    v0 = draws(T.FewShotCrop([9], "v0"), few, 50)
    assert all((out["label"] == 255).all() and out["label"].shape == (256, 256) for out in v0)
    assert (few["label"] != 255).all()
    soft = {**few, "fields": {"soft_label": np.ones((512, 512, 3), np.float32)}}
    assert (T.FewShotCrop([9], "v0")(soft, np.random.default_rng(0))["fields"]["soft_label"] == 0).all()
    assert (T.FewShotCrop([9], "v1")(soft, np.random.default_rng(0))["fields"]["soft_label"] == 1).all()
    assert corners(T.FewShotCrop([9], "v1"), tile()) == {(0, 0)}  # the first of equal ones


def test_the_share_is_of_all_pixels_and_reaches_the_threshold():
    sample = tile()
    sample["label"][:] = 255
    sample["label"][:64, :64] = 9  # a sixteenth of the window
    assert corners(T.FewShotCrop([9], "v2", min_ratio=1 / 16), sample) == {(0, 0)}
    assert corners(T.FewShotCrop([9], "v2", min_ratio=1 / 16 + 1e-6), sample) == NINE


def test_small_and_odd_images():
    out = T.FewShotCrop([0])(tile(size=200), np.random.default_rng(0))
    assert out["image"].shape == (256, 256, 2)
    assert (out["label"][200:] == 255).all()
    assert (out["label"][:200, :200] == 0).all()
    assert corners(T.FewShotCrop([7], "v2"), tile(size=400)) == {(y, x) for y in (0, 128, 144) for x in (0, 128, 144)}
    with pytest.raises(RssegError, match="a: no label"):
        T.FewShotCrop([0])({"image": np.zeros((9, 9, 3), np.uint8), "name": "a"}, np.random.default_rng(0))


# --- mmsegmentation's distortion -----------------------------------------------------------------------------------


def photo(image, seed, **options):
    return T.PhotoMetricDistortion(**options)({"image": image, "name": "a"}, np.random.default_rng(seed))["image"]


IMAGE = np.random.default_rng(0).integers(40, 200, (20, 30, 3), dtype=np.uint8)
NEUTRAL = {"brightness_delta": 0, "contrast_range": [1, 1], "saturation_range": [1, 1], "hue_delta": 0}


def fitted(x, y):
    """(slope, offset) of y over x."""
    return np.polyfit(np.ravel(x).astype(float), np.ravel(y).astype(float), 1)


def test_brightness_is_added_and_contrast_multiplied():
    added, factors = [], []
    for seed in range(300):
        slope, offset = fitted(IMAGE, photo(IMAGE, seed, **{**NEUTRAL, "brightness_delta": 32}))
        assert slope == pytest.approx(1, abs=0.01)
        added.append(offset)
        slope, offset = fitted(IMAGE // 2, photo(IMAGE // 2, seed, **{**NEUTRAL, "contrast_range": [0.5, 1.5]}))
        assert offset == pytest.approx(0, abs=1)
        factors.append(slope)
    for values, middle, reach in ((added, 0, 32), (factors, 1, 0.5)):
        moved = np.abs(np.array(values) - middle) > reach / 100
        assert moved.mean() == pytest.approx(0.5, abs=0.1)
        assert min(values) == pytest.approx(middle - reach, abs=reach / 10)
        assert max(values) == pytest.approx(middle + reach, abs=reach / 10)


def hsv(image):
    return cv2.cvtColor(np.float32(image) / 255, cv2.COLOR_RGB2HSV)


def test_hue_turns_and_saturation_scales():
    turns, factors = [], []
    for seed in range(200):
        turned = hsv(photo(IMAGE, seed, **{**NEUTRAL, "hue_delta": 18})) - hsv(IMAGE)
        turns.append(np.median((turned[..., 0] + 180) % 360 - 180))
        assert np.abs(turned[..., 1:]).max() < 0.03
        paler = hsv(photo(IMAGE, seed, **{**NEUTRAL, "saturation_range": [0.5, 1]}))
        factors.append(np.median(paler[..., 1] / hsv(IMAGE)[..., 1].clip(0.01)))
        assert np.abs(paler[..., 2] - hsv(IMAGE)[..., 2]).max() < 0.01
    assert (np.abs(turns) > 0.5).mean() == pytest.approx(0.5, abs=0.1)
    assert min(turns) == pytest.approx(-36, abs=3)  # 18 of 180
    assert max(turns) == pytest.approx(36, abs=3)
    assert min(factors) == pytest.approx(0.5, abs=0.05)


def test_contrast_comes_before_or_after_the_colours():
    """Contrast beyond the end of the type takes colour away only if it comes before the saturation."""
    image = np.zeros((4, 4, 3), np.uint8)
    image[:] = (200, 150, 100)
    options = {**NEUTRAL, "contrast_range": [2, 2], "saturation_range": [0.5, 0.5], "prob": 1}
    seen = {tuple(photo(image, seed, **options)[0, 0].tolist()) for seed in range(30)}
    first = hsv(np.array([[[255, 255, 200]]]))
    first[..., 1] /= 2
    before = tuple(np.rint(cv2.cvtColor(first, cv2.COLOR_HSV2RGB)[0, 0] * 255).astype(int).tolist())
    last = hsv(image[:1, :1])
    last[..., 1] /= 2
    after = tuple((cv2.cvtColor(last, cv2.COLOR_HSV2RGB)[0, 0] * 510).clip(0, 255).round().astype(int).tolist())
    assert before != after
    assert seen == {before, after}


def test_sixteen_bits_are_distorted_like_eight():
    wide = IMAGE.astype(np.uint16) * 257
    for seed in range(10):
        assert np.abs(photo(wide, seed) / 257 - photo(IMAGE, seed)).max() <= 1.1
    for image, seen in ((IMAGE[..., :2], "2 bands of uint8"), (IMAGE.astype(np.float32), "3 bands of float32")):
        with pytest.raises(RssegError, match=f"a: {seen}.*hue_delta: 0"):
            photo(image, 0)


# --- the smaller ones ----------------------------------------------------------------------------------------------


def test_transposing():
    sample = {"image": np.arange(12).reshape(2, 3, 2), "label": np.arange(6, dtype=np.uint8).reshape(2, 3)}
    out = T.RandomTranspose(prob=1)(sample, np.random.default_rng(0))
    assert out["label"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert np.array_equal(out["image"][..., 0], sample["image"][..., 0].T)
    assert np.mean([o["label"].shape == (3, 2) for o in draws(T.RandomTranspose(), sample, 200)]) == pytest.approx(
        0.5, abs=0.1
    )


def test_blur_of_a_given_deviation():
    point = np.zeros((31, 31, 1), np.float64)
    point[15, 15] = 1
    for seed in range(20):
        out = T.RandomBlur(prob=1, sigma=[0.5, 2])({"image": point}, np.random.default_rng(seed))["image"][..., 0]
        ys = np.arange(31) - 15
        deviation = np.sqrt((out.sum(axis=1) * ys**2).sum())
        assert out.sum() == pytest.approx(1)
        assert 0.45 < deviation < 2.05
    still = T.RandomBlur(prob=1, sigma=[0, 0])({"image": point}, np.random.default_rng(0))["image"]
    assert np.array_equal(still, point)


@pytest.mark.parametrize("shape", [(100, 50), (50, 100), (80, 80)])
def test_the_short_side_is_scaled_to_a_range(shape):
    sample = {"image": np.zeros((*shape, 3), np.uint8), "label": np.zeros(shape, np.uint8)}
    sizes = [o["label"].shape for o in draws(T.ResizeRangeScaling(20, 40, side="short"), sample, 300)]
    assert {min(size) for size in sizes} == set(range(20, 41))
    for height, width in sizes:
        assert height / width == pytest.approx(shape[0] / shape[1], rel=0.03)


def test_distortions_in_a_fixed_order():
    """Brightness, then contrast, with the numbers in the order in which they are drawn."""
    image = np.full((4, 4, 3), 200, np.uint8)
    image[0] = 190
    fixed = T.RandomDistort(saturation_prob=0, hue_prob=0, brightness_prob=1, contrast_prob=1, shuffle=False)
    free = T.RandomDistort(saturation_prob=0, hue_prob=0, brightness_prob=1, contrast_prob=1)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rng.random()
        bright = 1 + np.float32(rng.uniform(-0.5, 0.5))
        rng.random()
        contrast = 1 + np.float32(rng.uniform(-0.5, 0.5))
        pixels = (image * bright).clip(0, 255)
        mean = pixels.mean()
        expected = (mean + (pixels - mean) * contrast).clip(0, 255)
        seen = fixed({"image": image, "name": "a"}, np.random.default_rng(seed))["image"]
        assert np.abs(seen - expected).max() < 0.6
    pairs = [(t({"image": image, "name": "a"}, np.random.default_rng(3))["image"]).tolist() for t in (fixed, free)]
    assert pairs[0] != pairs[1]
