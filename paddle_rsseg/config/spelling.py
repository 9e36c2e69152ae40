"""PaddleSeg's older and other spellings, turned into ours before anything is validated.

A key of PaddleSeg that has no meaning here is taken out with a note; one whose meaning we do not have is an error:
leaving it out would train something else than the file says.
"""

from __future__ import annotations

from paddle_rsseg.errors import RssegError
from paddle_rsseg.tree import Node, at, plain

#: top-level keys without an effect here, and why
WITHOUT_EFFECT = {
    "export": "the pre-processing of an exported model is that of val_dataset",
    "to_static_training": "training runs in dynamic mode",
}
#: (section, key): why it cannot be taken out silently
UNSUPPORTED = {
    ("", "distill_loss"): "distillation is not there yet",
    ("optimizer", "custom_cfg"): "learning rates of single layers are not there yet",
    ("test_config", "auc_roc"): "the area under the ROC curve is not among the metrics",
}
#: PaddleSeg's flips of test-time augmentation, and our views; without aug_eval they do nothing there either
FLIPS = {"flip_horizontal": "lr", "flip_vertical": "tb"}


def translate(root: Node, notes: list[str]) -> Node:
    """The tree in our own spelling; one line for each key left out is appended to ``notes``."""
    top = dict(root.value)
    for key, reason in WITHOUT_EFFECT.items():
        if key in top:
            dropped = top.pop(key)
            if dropped.value is not False:
                notes.append(f"{dropped.where}: {key} has no effect: {reason}")
    for (section, key), reason in UNSUPPORTED.items():
        inside = top.get(section, Node(None, "")).value if section else top
        if isinstance(inside, dict) and inside.get(key, Node(None, "")).value:
            place = f"{section}.{key}" if section else key
            raise RssegError(at(inside[key].where, f"{place}"), reason, fix="remove the key to go on without it")
    _learning_rate(top)
    _grad_clip(top)
    _test_config(top, notes)
    return Node(top, root.where)


def _learning_rate(top: dict[str, Node]) -> None:
    """PaddleSeg before 2.3: ``learning_rate: {value: 0.01, decay: {type: poly, power: 0.9, end_lr: 0}}``."""
    if "learning_rate" not in top:
        return
    old = top.pop("learning_rate")
    if not isinstance(old.value, dict) or "value" not in old.value or set(old.value) - {"value", "decay"}:
        raise RssegError(
            at(old.where, "learning_rate"),
            repr(plain(old)),
            "lr_scheduler: {type: PolynomialDecay, learning_rate: 0.01, …}",
            "the rate belongs into lr_scheduler",
        )
    if "lr_scheduler" in top:
        other = f"lr_scheduler is there too ({top['lr_scheduler'].where})"
        raise RssegError(at(old.where, "learning_rate"), other, "one of them")
    decay = old.value.get("decay", Node({"type": Node("poly", old.where)}, old.where))
    if not isinstance(decay.value, dict):
        raise RssegError(at(decay.where, "learning_rate.decay"), repr(plain(decay)), "a mapping with 'type'")
    # these files left end_lr and power to PaddleSeg, whose defaults for `poly` were not Paddle's
    defaults = {"end_lr": Node(0.0, old.where), "power": Node(0.9, old.where)}
    kind = decay.value.get("type", Node("poly", decay.where))
    polynomial = str(kind.value).lower() in ("poly", "polynomialdecay")
    rate = {"type": kind, "learning_rate": old.value["value"]}
    top["lr_scheduler"] = Node({**rate, **(defaults if polynomial else {}), **decay.value}, old.where)


def _grad_clip(top: dict[str, Node]) -> None:
    """PaddleSeg's ``optimizer.grad_clip_cfg: {name: ClipGradByGlobalNorm, clip_norm: 1.0}``."""
    optimizer = top.get("optimizer")
    if optimizer is None or not isinstance(optimizer.value, dict) or "grad_clip_cfg" not in optimizer.value:
        return
    inside = dict(optimizer.value)
    clip = inside.pop("grad_clip_cfg")
    top["optimizer"] = Node(inside, optimizer.where)
    if clip.value is None:
        return
    kinds = {"ClipGradByGlobalNorm": "global_norm", "ClipGradByNorm": "per_tensor"}
    keys = clip.value if isinstance(clip.value, dict) else {}
    name = keys.get("name", Node(None, clip.where))
    if set(keys) != {"name", "clip_norm"} or name.value not in kinds:
        raise RssegError(
            at(clip.where, "optimizer.grad_clip_cfg"),
            repr(plain(clip)),
            f"{{name: {' or '.join(kinds)}, clip_norm: number}}",
        )
    if "grad_clip" in top:
        other = f"grad_clip is there too ({top['grad_clip'].where})"
        raise RssegError(at(clip.where, "optimizer.grad_clip_cfg"), other, "one of them")
    top["grad_clip"] = Node({"type": Node(kinds[name.value], name.where), "value": keys["clip_norm"]}, clip.where)


def _test_config(top: dict[str, Node], notes: list[str]) -> None:
    section = top.get("test_config")
    if section is None or not isinstance(section.value, dict):
        return
    inside = dict(section.value)
    augment = inside.pop("aug_eval", None)
    if augment is not None and augment.value:
        flips = {key: inside.pop(key) for key in FLIPS if key in inside}
        inside["views"] = Node(_views(flips, augment.where), augment.where)
        scales = inside.get("scales")
        if scales is not None and not isinstance(scales.value, list):
            inside["scales"] = Node([scales], scales.where)
    elif "views" not in inside:  # the key of our own spelling, where nothing needs to be switched on
        for key in ("scales", *FLIPS):
            if key in inside:
                notes.append(f"{inside.pop(key).where}: test_config.{key} has no effect without aug_eval")
    inside.pop("auc_roc", None)
    top["test_config"] = Node(inside, section.where)


def _views(flips: dict[str, Node], where: str) -> list[Node]:
    """PaddleSeg averages over the image, its mirror images, and, if it has both of them, both at once."""
    names = ["identity", *(name for key, name in FLIPS.items() if key in flips and flips[key].value)]
    return [Node(name, where) for name in ([*names, "lrtb"] if len(names) == 3 else names)]
