"""The loop itself, on networks of a few hundred weights."""

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_rsseg.config import schema
from paddle_rsseg.errors import RssegError
from paddle_rsseg.losses import build_loss
from paddle_rsseg.training.loop import Hook, Trainer
from paddle_rsseg.training.precision import Precision


class Net(nn.Layer):
    """Two outputs, dropout, and a parameter that is never used."""

    def __init__(self, norm=None):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2D(3, 8, 3, padding=1), norm or nn.GroupNorm(2, 8), nn.ReLU())
        self.dropout = nn.Dropout(0.3)
        self.main, self.auxiliary, self.unused = nn.Conv2D(8, 4, 1), nn.Conv2D(8, 4, 1), nn.Conv2D(8, 4, 1)

    def forward(self, image):
        x = self.body(image)
        return [self.main(self.dropout(x)), self.auxiliary(x)]


def batches(size=6, bad=None):
    rng = np.random.default_rng(0)
    k = 0
    while True:
        k += 1
        image = rng.normal(size=(size, 3, 8, 8)).astype("float32")
        label = rng.integers(0, 4, (size, 8, 8))
        label[0, :5] = 255  # parts of the batch have different numbers of valid pixels
        if k == bad:
            image[2] = np.nan
        yield {
            "image": paddle.to_tensor(image), "label": paddle.to_tensor(label),
            "names": [f"step{k}/image{i}.png" for i in range(size)],
        }  # fmt: skip


ANNEALED = {"type": "AnnealingSoftmaxFocalLoss", "T_max": 3}


def make(iters=4, net=None, optimizer=None, clip=None, loss=ANNEALED, **arguments):
    paddle.seed(3)
    model = net or Net()
    loss = build_loss({"types": loss if isinstance(loss, list) else [loss], "coef": [1, 0.4]})
    optimizer = optimizer or paddle.optimizer.Momentum(
        0.1, parameters=model.parameters(), weight_decay=0.1, grad_clip=clip
    )
    arguments = {"batches": batches(), "schedule": lambda k: 0.1 / k, "seed": 5, **arguments}
    return Trainer(
        model=model, loss=loss, optimizer=optimizer, precision=Precision("fp32", "O1", "cpu"), iters=iters, **arguments
    )


def weights(trainer):
    return {name: value.numpy() for name, value in trainer.model.state_dict().items()}


CONSISTENCY = {"type": "MultiViewConsistencyLoss", "loss": ANNEALED}
MINING = {"type": "DisagreementMiningLoss"}
ONE_OUTPUT = [CONSISTENCY, ANNEALED]  # the other output of the view takes no part


@pytest.mark.parametrize(
    ("parts", "loss"),
    [(2, ANNEALED), (3, ANNEALED), (4, ANNEALED), (2, CONSISTENCY), (4, CONSISTENCY), (2, MINING), (2, ONE_OUTPUT)],
)
def test_accumulation_equals_the_whole_batch(parts, loss):
    """Loss, annealing and gradients; without dropout, whose masks belong to the parts, and without batch norm."""
    whole, cut = (make(accumulate=n, loss=loss) for n in (1, parts))
    for trainer in (whole, cut):
        trainer.model.dropout.p = 0.0
        trainer.train()
    assert cut.losses == pytest.approx(whole.losses, rel=1e-5)
    for name, value in weights(whole).items():
        np.testing.assert_allclose(weights(cut)[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    for name, value in whole.loss.state_dict().items():  # one step of the annealing an update, however many parts
        np.testing.assert_array_equal(cut.loss.state_dict()[name].numpy(), value.numpy())


def test_accumulation_counts_running_statistics_once():
    trainer = make(iters=1, net=Net(nn.BatchNorm2D(8)), accumulate=2)
    before = trainer.model.body[1]._mean.numpy()
    half = next(batches())["image"]
    # by hand: the running mean after the two halves, each once
    convolution, expected = trainer.model.body[0], before
    for part in (half[:3], half[3:]):
        expected = 0.9 * expected + 0.1 * convolution(part).numpy().mean((0, 2, 3))
    trainer.train()
    np.testing.assert_allclose(trainer.model.body[1]._mean.numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(("loss", "passes"), [(CONSISTENCY, 2), (MINING, 1)])
def test_running_statistics_see_the_views_that_teach(loss, passes, accumulate):
    trainer = make(iters=1, net=Net(nn.BatchNorm2D(8)), accumulate=accumulate, loss=loss)
    norm, before = trainer.model.body[1], trainer.model.body[1]._mean.numpy()
    image = next(batches())["image"]
    view = list(trainer.loss.ask((5, 1, 0)).views)[1]
    expected = before
    for part in (image,) if accumulate == 1 else (image[:3], image[3:]):
        for seen in (part, view.apply(part))[:passes]:
            expected = 0.9 * expected + 0.1 * trainer.model.body[0](seen).numpy().mean((0, 2, 3))
    trainer.train()
    np.testing.assert_allclose(norm._mean.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_gradients_flow_through_both_passes():
    """The loop's step against the formula written down by hand, on images that are not square."""
    images = {"image": paddle.randn([2, 3, 6, 9]), "label": paddle.randint(0, 4, [2, 6, 9]), "names": ["a", "b"]}
    trainer = make(iters=1, loss={"type": "MultiViewConsistencyLoss"}, batches=iter([images]))
    trainer.model.dropout.p = 0.0
    by_hand = make(iters=1)
    by_hand.model.dropout.p = 0.0
    (view,) = list(trainer.loss.ask((5, 1, 0)).views)[1:]
    trainer.train()
    outputs = by_hand.model(images["image"])
    turned = [view.invert(logits) for logits in by_hand.model(view.apply(images["image"]))]
    for coef, one, other in zip((1, 0.4), outputs, turned, strict=True):
        entropies = [nn.functional.cross_entropy(x, images["label"], axis=1) for x in (one, other)]
        (coef * (entropies[0] + entropies[1] + ((one - other) ** 2).mean())).backward(retain_graph=True)
    by_hand.optimizer.set_lr(0.1)
    by_hand.optimizer.step()
    for name, value in weights(by_hand).items():
        np.testing.assert_allclose(weights(trainer)[name], value, rtol=1e-5, atol=1e-7, err_msg=name)


def test_views_depend_on_the_iteration_alone():
    whole = make(iters=4, loss=CONSISTENCY)
    whole.train()
    first = make(iters=2, loss=CONSISTENCY)
    first.train()
    paddle.seed(12345)
    assert len({tuple(whole.loss.ask((5, k, 0)).views) for k in (1, 2, 3, 4)}) > 1
    first.iters = 4
    first.train()
    for name, value in weights(whole).items():
        np.testing.assert_array_equal(weights(first)[name], value, err_msg=name)


def test_a_step_is_paddles_own_step():
    trainer = make(clip=nn.ClipGradByGlobalNorm(0.01))
    trainer.train()
    other = make(clip=nn.ClipGradByGlobalNorm(0.01))
    source = batches()
    from paddle_rsseg.training.build import seed_all

    for k in range(1, 5):
        batch = next(source)
        other.optimizer.set_lr(0.1 / k)
        seed_all(5, k, 0, 0)
        paddle.add_n(list(other.loss(other.model(batch["image"]), batch["label"]).values())).backward()
        other.optimizer.step()
        other.optimizer.clear_grad(set_to_zero=False)
    for name, value in weights(trainer).items():
        np.testing.assert_array_equal(weights(other)[name], value, err_msg=name)


def test_what_a_step_does_not_use_stays_as_it_is():
    trainer = make()
    before = weights(trainer)
    trainer.train()
    after = weights(trainer)
    assert np.array_equal(before["unused.weight"], after["unused.weight"])  # no weight decay either
    assert not np.array_equal(before["main.weight"], after["main.weight"])


def test_dropout_depends_on_the_iteration_alone():
    whole = make(iters=4)
    whole.train()
    first = make(iters=2)
    first.train()
    paddle.seed(12345)  # what another process would have drawn meanwhile
    first.iters = 4
    first.train()
    for name, value in weights(whole).items():
        np.testing.assert_array_equal(weights(first)[name], value, err_msg=name)


@pytest.mark.parametrize("where", ["pixels", "loss"])
def test_what_is_not_finite_stops_with_the_images_and_changes_nothing(where):
    trainer = make(batches=batches(bad=3 if where == "pixels" else None))
    seen = "the gradients are not finite"  # Paddle's ReLU has made 0 of NaN, so the loss is none the wiser
    if where == "loss":
        seen = "the loss is nan"
        compute = trainer.loss.forward
        trainer.loss.forward = lambda *arguments: {
            name: value * (float("nan") if trainer.iteration == 3 else 1) for name, value in compute(*arguments).items()
        }

    class Watch(Hook):
        def after_step(self, trainer):
            self.weights, self.last = weights(trainer), trainer.iteration

    watch = Watch()
    trainer.hooks = [watch]
    with pytest.raises(RssegError, match=rf"iteration 3: {seen} for the images step3/image0\.png.*doctor"):
        trainer.train()
    assert watch.last == 2
    for name, value in weights(trainer).items():
        np.testing.assert_array_equal(watch.weights[name], value, err_msg=name)


def test_hooks_are_called_around_every_step_and_at_the_end_even_of_a_failure():
    calls = []

    class Record(Hook):
        def __getattribute__(self, name):
            if name in ("before_train", "before_step", "after_step", "after_train"):
                return lambda trainer: calls.append((name, trainer.iteration))
            return super().__getattribute__(name)

    class Stop(Hook):
        def after_step(self, trainer):
            if trainer.iteration == 2:
                trainer.stop_reason = "enough"

    make(hooks=[Record(), Stop()]).train()
    assert calls == [
        ("before_train", 0), ("before_step", 1), ("after_step", 1), ("before_step", 2), ("after_step", 2),
        ("after_train", 2),
    ]  # fmt: skip
    calls.clear()
    with pytest.raises(RssegError):
        make(hooks=[Record()], batches=batches(bad=1)).train()
    assert calls == [("before_train", 0), ("before_step", 1), ("after_train", 1)]


@pytest.mark.parametrize(("name", "level"), [("fp16", "O1"), ("fp16", "O2"), ("bf16", "O1"), ("bf16", "O2")])
def test_mixed_precision_on_a_cpu_is_fp32_and_says_so(name, level):
    plain, mixed = make(), make()
    mixed.precision = Precision(name, level, "cpu")
    mixed.precision.decorate(mixed.model, mixed.optimizer)
    assert "no effect on a CPU" in mixed.precision.note
    assert plain.precision.note == ""
    plain.train()
    mixed.train()
    for key, value in weights(plain).items():
        np.testing.assert_array_equal(weights(mixed)[key], value, err_msg=key)


def test_settings_become_optimiser_and_clip():
    from paddle_rsseg.training.build import build_clip, build_optimizer

    assert isinstance(build_clip(schema.GradClip()), nn.ClipGradByGlobalNorm)
    assert isinstance(build_clip(schema.GradClip(type="per_tensor")), nn.ClipGradByNorm)
    assert build_clip(schema.GradClip(type="none")) is None

    class Settings:
        grad_clip = schema.GradClip(value=2.0)
        lr_scheduler = schema.Constant(type="Constant", learning_rate=0.5)

    net = Net()
    net.main.weight.stop_gradient = True
    for chosen in (
        schema.SGD(type="SGD"), schema.Momentum(type="Momentum", weight_decay=0.1, use_nesterov=True),
        schema.Adam(type="Adam", weight_decay=0.1), schema.AdamW(type="AdamW"),
    ):  # fmt: skip
        Settings.optimizer = chosen
        built = build_optimizer(Settings, net)
        assert type(built).__name__ == chosen.type
        assert built.get_lr() == 0.5
        assert built._grad_clip.clip_norm == 2.0
        assert net.main.weight.name not in {p.name for p in built._parameter_list}


def test_parameters_spared_by_adamw_do_not_decay():
    from paddle_rsseg.training.build import build_optimizer

    class Settings:
        grad_clip = schema.GradClip(type="none")
        lr_scheduler = schema.Constant(type="Constant", learning_rate=0.5)
        optimizer = schema.AdamW(type="AdamW", weight_decay=0.1, no_weight_decay=["bias"])

    net = Net()
    optimizer = build_optimizer(Settings, net)
    before = {name: p.numpy() for name, p in net.named_parameters()}
    paddle.add_n([(p * 0).sum() for p in net.parameters()]).backward()  # a gradient of 0: only the decay moves
    optimizer.step()
    for name, p in net.named_parameters():
        factor = 1 if "bias" in name else 1 - 0.5 * 0.1
        np.testing.assert_allclose(p.numpy(), before[name] * factor, rtol=1e-6, err_msg=name)
    Settings.optimizer = schema.AdamW(type="AdamW", no_weight_decay=["norm"])
    with pytest.raises(RssegError, match="'norm'"):
        build_optimizer(Settings, net)
