"""Checkpoint directories: whole or absent wherever a process dies, and bit for bit what was saved."""

import os
import shutil

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_rsseg.errors import RssegError
from paddle_rsseg.training import checkpoint


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the code under test may catch it."""


def write(path, text):
    with checkpoint.whole_directory(path) as folder:
        for name in ("a", "b"):
            (folder / name).write_text(text)


def content(path):
    return [(path / name).read_text() for name in ("a", "b")]


def die_at(monkeypatch, n):
    """Let the n-th call that changes the file system, counted from 0, raise before it does anything."""
    calls = iter(range(10**6))

    def deadly(function):
        def call(*args, **kwargs):
            if next(calls) >= n:
                raise Killed
            return function(*args, **kwargs)

        return call

    for module, name in [(os, "rename"), (os, "fsync"), (os, "mkdir"), (os, "unlink"), (os, "rmdir")]:
        monkeypatch.setattr(module, name, deadly(getattr(module, name)))


@pytest.mark.parametrize("replacing", [False, True])
def test_a_directory_is_old_or_new_wherever_the_process_dies(tmp_path, monkeypatch, replacing):
    died = 0
    for n in range(100):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        path = tmp_path / "iter_1"
        if replacing:
            write(path, "old")
        with monkeypatch.context() as patch:
            die_at(patch, n)
            try:
                write(path, "new")
                finished = True
            except Killed:
                finished = False
                died += 1
        if path.exists():  # even before recovery, what can be seen is whole
            assert content(path) in (["old"] * 2, ["new"] * 2)
        checkpoint.recover(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] in ([], ["iter_1"])
        assert path.exists() or not replacing
        if path.exists():
            assert content(path) in ([["new"] * 2] if finished else [["old"] * 2, ["new"] * 2])
        if finished:
            break
    assert died >= 5


def test_a_half_deleted_checkpoint_is_never_seen(tmp_path, monkeypatch):
    for n in range(100):
        path = tmp_path / "iter_1"
        if not path.exists():
            write(path, "old")
        with monkeypatch.context() as patch:
            die_at(patch, n)
            try:
                checkpoint.remove(path)
                break
            except Killed:
                pass
        assert not path.exists() or content(path) == ["old"] * 2
        checkpoint.recover(tmp_path)
        assert {p.name for p in tmp_path.iterdir()} <= {"iter_1"}
    assert n >= 3


def test_resume_choices(tmp_path):
    assert checkpoint.choose_resume("auto", tmp_path) is None
    assert checkpoint.choose_resume(None, tmp_path) is None
    for k in (2, 10):
        write(tmp_path / f"iter_{k}", "x")
        (tmp_path / f"iter_{k}" / "state.json").write_text("{}")
    assert checkpoint.choose_resume("auto", tmp_path).name == "iter_10"  # by number, not by spelling
    assert checkpoint.choose_resume(str(tmp_path / "iter_10"), tmp_path).name == "iter_10"
    assert checkpoint.choose_resume(str(tmp_path / "iter_2"), tmp_path / "other").name == "iter_2"
    # a branch beside iter_10 would lose its checkpoints to 'keep the newest', and 'auto' would take the old run's
    with pytest.raises(RssegError, match=r"holds a run as far as iter_10; .*go on from .*iter_2; choose another"):
        checkpoint.choose_resume(str(tmp_path / "iter_2"), tmp_path)
    with pytest.raises(RssegError, match=r"already holds a run .*--resume_model auto.*--save_dir"):
        checkpoint.choose_resume(None, tmp_path)
    with pytest.raises(RssegError, match=r"did you mean .*iter_10"):
        checkpoint.choose_resume(str(tmp_path), tmp_path)


def network():
    paddle.seed(1)
    return nn.Sequential(nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.ReLU(), nn.Conv2D(4, 2, 3))


def make(kind):
    model = network()
    optimizer = getattr(paddle.optimizer, kind)(0.01, parameters=model.parameters(), weight_decay=0.1)
    return model, optimizer, nn.BatchNorm1D(3)  # any layer with a buffer stands for a loss


def step(model, optimizer, n):
    for i in range(n):
        image = paddle.to_tensor(np.random.default_rng(i).normal(size=(2, 3, 9, 9)).astype("float32"))
        model(image).square().mean().backward()
        optimizer.step()
        optimizer.clear_grad(set_to_zero=False)


@pytest.mark.parametrize("kind", ["Momentum", "Adam", "AdamW"])
def test_restoring_continues_bit_for_bit_under_other_parameter_names(tmp_path, kind):
    model, optimizer, loss = make(kind)
    step(model, optimizer, 3)
    checkpoint.save_model(tmp_path, model, optimizer, {})
    checkpoint.save_state(tmp_path, model, optimizer, loss, {"iter": 3})
    again, its_optimizer, its_loss = make(kind)
    assert {p.name for p in again.parameters()}.isdisjoint(p.name for p in model.parameters())
    assert checkpoint.restore(tmp_path, again, its_optimizer, its_loss) == {"iter": 3}
    for steps in (0, 2):
        step(model, optimizer, steps)
        step(again, its_optimizer, steps)
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), again.state_dict()[name].numpy(), err_msg=name)
    before, after = (checkpoint.optimizer_state(*pair) for pair in ((model, optimizer), (again, its_optimizer)))
    assert before.keys() == after.keys()
    assert len(before) >= 6
    for name in before:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)


def test_another_models_checkpoint_is_refused(tmp_path):
    model, optimizer, loss = make("Momentum")
    checkpoint.save_model(tmp_path, model, optimizer, {})
    checkpoint.save_state(tmp_path, model, optimizer, loss, {})
    other = nn.Sequential(nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.ReLU(), nn.Conv2D(4, 5, 3))
    with pytest.raises(RssegError, match=r"model\.safetensors: 2 tensors.*3\.weight"):
        checkpoint.restore(tmp_path, other, paddle.optimizer.SGD(0.1, parameters=other.parameters()), loss)
    (tmp_path / "state.json").unlink()
    with pytest.raises(RssegError, match=r"state\.json"):
        checkpoint.restore(tmp_path, model, optimizer, loss)
