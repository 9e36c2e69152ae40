"""Points: where they are, what is sampled there, and what a step of the subdivision does."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.models.layers import resize
from paddle_rsseg.models.points import (
    PointHead,
    fraction,
    pixel_points,
    probabilities,
    sample,
    training_points,
    uncertain_pixels,
    uncertainty,
)

SIZE = (5, 7)


def random(*shape: int, seed: int = 0) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape))


def test_uncertainty():
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.4, 0.2, 0.4]])).T.reshape(1, 3, 1, 2)
    doubt = uncertainty(probabilities(paddle.to_tensor(logits)))
    np.testing.assert_allclose(doubt.numpy(), [[[-0.5, 0.0]]], atol=1e-12)


def test_one_channel_is_a_class_or_its_absence():
    one = random(1, 1, *SIZE)
    two = paddle.concat([paddle.zeros_like(one), one], axis=1)
    np.testing.assert_allclose(probabilities(one).numpy(), probabilities(two).numpy(), atol=1e-12)


@pytest.mark.parametrize("align_corners", [False, True])
def test_sampling_at_pixels_gives_the_pixels(align_corners):
    x = random(2, 3, *SIZE)
    index = paddle.arange(35).unsqueeze(0).expand([2, -1])
    points = pixel_points(index, SIZE, x.dtype, centres=not align_corners)
    assert points.shape == [2, 35, 2]
    np.testing.assert_allclose(sample(x, points, align_corners).squeeze(3).numpy(), x.flatten(2).numpy(), atol=1e-12)


@pytest.mark.parametrize("align_corners", [False, True])
def test_sampling_at_the_pixels_of_another_size_is_resizing(align_corners):
    x, size = random(2, 3, *SIZE), (11, 4)
    points = pixel_points(paddle.arange(44).unsqueeze(0).expand([2, -1]), size, x.dtype, centres=not align_corners)
    resized = resize(x, size, align_corners).flatten(2)
    np.testing.assert_allclose(sample(x, points, align_corners).squeeze(3).numpy(), resized.numpy(), atol=1e-12)


def test_sampling_is_exact_in_float64_gradients_too():
    x, points = random(1, 1, *SIZE), paddle.to_tensor(np.random.default_rng(1).random((1, 3, 2)))
    x.stop_gradient = False
    sample(x, points, True).sum().backward()
    wanted = np.zeros(SIZE)
    for px, py in points.numpy()[0] * (SIZE[1] - 1, SIZE[0] - 1):
        for row in range(SIZE[0]):
            for column in range(SIZE[1]):
                wanted[row, column] += max(0, 1 - abs(px - column)) * max(0, 1 - abs(py - row))
    np.testing.assert_allclose(x.grad.numpy()[0, 0], wanted, atol=1e-12)


def test_beyond_the_outer_centres():
    ones, corner = paddle.ones([1, 1, 4, 4]), paddle.zeros([1, 1, 2])
    assert sample(ones, corner, False).item() == 1.0
    assert sample(ones, corner, False, padding="zeros").item() == 0.25


def test_coordinates_keep_their_digits_in_mixed_precision():
    ramp = paddle.arange(4096, dtype="float32").reshape([1, 1, 1, 4096])
    with paddle.amp.auto_cast(level="O1"):
        value = sample(ramp, paddle.to_tensor([[[2001 / 4095, 0.0]]]), True)
    assert value.item() == pytest.approx(2001, abs=1e-2)


def test_uncertain_pixels_are_the_least_sure_ones_and_all_of_a_small_map():
    logits = random(2, 4, *SIZE)
    doubt = uncertainty(probabilities(logits)).flatten(1).numpy()
    index = uncertain_pixels(logits, 9).numpy()
    for i in range(2):
        assert set(index[i]) == set(np.argsort(-doubt[i])[:9])
    np.testing.assert_array_equal(np.sort(uncertain_pixels(logits, 1000).numpy()), [np.arange(35)] * 2)


def test_training_points_are_most_of_them_uncertain():
    # undecided in the left half only
    logits = paddle.concat([paddle.zeros([2, 3, 8, 8]), 9 * paddle.ones([2, 3, 8, 8])], axis=3)
    logits[:, 0] *= 2
    paddle.seed(1)
    points = training_points(logits, 100, 4, 0.75).numpy()
    assert points.shape == (2, 100, 2)
    assert ((points >= 0) & (points <= 1)).all()
    assert (points[:, :75, 0] < 0.55).all()
    assert 0.2 < (points[:, 75:, 0] > 0.5).mean() < 0.8


def test_all_points_may_be_uncertain_ones():
    assert training_points(random(2, 3, *SIZE), 10, 3, 1.0).shape == [2, 10, 2]


@pytest.mark.parametrize("wrong", [{"importance": 0.05}, {"importance": 1.2}, {"oversample": 0.5}, {"refined": 0}])
def test_impossible_numbers_of_points(wrong):
    with pytest.raises(RssegError, match=next(iter(wrong))):
        head(**wrong)


def test_the_seed_decides_the_points():
    logits = random(2, 3, *SIZE)
    paddle.seed(5)
    first = training_points(logits, 10).numpy()
    second = training_points(logits, 10).numpy()
    paddle.seed(5)
    np.testing.assert_array_equal(training_points(logits, 10).numpy(), first)
    assert (first != second).any()


def test_fraction():
    assert fraction([9, 16], 4) == [3, 4]
    assert fraction([1, 2], 4) == [1, 1]


def head(**options) -> PointHead:
    options = {"channels": 6, "points": 10, "refined": 12, **options}
    paddle.seed(0)
    return PointHead(4, 3, **options).to(dtype="float64")


@pytest.mark.parametrize("coarse_each_layer", [False, True])
def test_the_head_is_a_network_of_every_point_alone(coarse_each_layer):
    layer = head(coarse_each_layer=coarse_each_layer)
    coarse, fine = random(2, 3, 8, 1), random(2, 4, 8, 1, seed=1)
    x = np.concatenate([coarse.numpy(), fine.numpy()], 1)[..., 0]
    for i, part in enumerate([*layer.layers, layer.classifier]):
        if i and coarse_each_layer:
            x = np.concatenate([x, coarse.numpy()[..., 0]], 1)
        x = np.einsum("oi,nip->nop", part.weight.numpy()[..., 0, 0], x) + part.bias.numpy()[None, :, None]
        x = np.maximum(x, 0) if part is not layer.classifier else x
    np.testing.assert_allclose(layer(coarse, fine)[..., 0].numpy(), x, atol=1e-12)


def test_train_output_has_the_points_behind_the_logits():
    layer, coarse, fine = head(), random(2, 3, *SIZE), random(2, 4, 9, 9, seed=1)
    coarse.stop_gradient = fine.stop_gradient = False
    output = layer.train_output(coarse, [fine], SIZE)
    assert output.shape == [2, 3 + 2, 10, 1]
    points = output[:, 3:].squeeze(3).transpose([0, 2, 1])
    np.testing.assert_allclose(layer.at(points, coarse, [fine]).numpy(), output[:, :3].numpy(), atol=1e-12)
    output[:, 3:].sum().backward()
    assert not any(x.grad.numpy().any() for x in (coarse, fine))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_train_output_is_no_half_precision(dtype):
    half = [random(1, channels, 8, 8).astype("float32").astype(dtype) for channels in (3, 4)]
    layer = head().to(dtype="float32")
    with paddle.amp.auto_cast(dtype=dtype, level="O1"):
        assert layer.train_output(half[0], [half[1]], SIZE).dtype == paddle.float32


@pytest.mark.parametrize("coarse", ["first", "last"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_a_step_of_the_subdivision(coarse, align_corners):
    layer = head(coarse=coarse, align_corners=align_corners)
    logits, first, fine = random(2, 3, *SIZE), random(2, 3, 4, 4, seed=1), random(2, 4, 9, 9, seed=2)
    with paddle.no_grad():
        refined = layer.refine(logits, first, [fine], [10, 14]).numpy()
        before = resize(logits, [10, 14], align_corners)
        source = first if coarse == "first" else before
        everywhere = layer(resize(source, [10, 14], align_corners), resize(fine, [10, 14], align_corners)).numpy()
    changed = np.zeros((2, 140), bool)
    np.put_along_axis(changed, uncertain_pixels(before, 12).numpy(), True, axis=1)
    wanted = np.where(changed.reshape(2, 1, 10, 14), everywhere, before.numpy())
    np.testing.assert_allclose(refined, wanted, atol=1e-12)


def test_refined_pixels_half_a_pixel_beside():
    ramp = paddle.arange(4, dtype="float64").reshape([1, 1, 1, 4])
    index = paddle.to_tensor([[0, 1, 2, 3]])
    for centres, wanted in ((False, [0, 1, 2, 3]), (True, [0.375, 1.125, 1.875, 2.625])):
        points = pixel_points(index, (1, 4), ramp.dtype, centres)
        np.testing.assert_allclose(sample(ramp, points, True).flatten().numpy(), wanted, atol=1e-12)
