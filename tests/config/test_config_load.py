"""Files → settings: PaddleSeg's spelling, what is filled in, what is refused and how."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import yaml

from paddle_rsseg.config import (
    Settings,
    build_dataset,
    check_paths,
    inference_spec,
    load_config,
    loads_config,
    override,
    schema,
)
from paddle_rsseg.config.components import adapters
from paddle_rsseg.errors import RssegError
from paddle_rsseg.registry import BACKBONES, DATASETS, LOSSES, MODELS, TRANSFORMS

FILES = Path(__file__).parent / "files"
PATCH = FILES / "source_patch.yml"


@pytest.fixture
def edited(tmp_path):
    """The source system's recipe with top-level keys replaced (None: taken out)."""

    def edited(**changes: object) -> Path:
        values = yaml.safe_load(PATCH.read_text()) | changes
        path = tmp_path / "edited.yml"
        path.write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not None}))
        return path

    return edited


def refused(path: str | Path, *opts: str) -> str:
    with pytest.raises(RssegError) as caught:
        load_config(path, opts)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is understood ----------------------------------------------------------------------------------------


def test_a_dump_loads_to_equal_settings():
    settings = load_config(PATCH, ["loss.types.0.gamma=3", "model.backbone=ResNet18"])
    again = loads_config(settings.dump())
    assert again == settings
    assert again != load_config(PATCH)
    assert again.dump() == settings.dump()


def test_a_null_argument_and_integer_keys_survive_the_dump():
    settings = load_config(PATCH, [f"{d}_dataset.label_map={{7: 0, 9: 1}}" for d in ("train", "val")])
    again = loads_config(settings.dump())
    assert again.train_dataset.args["label_map"] == {7: 0, 9: 1}
    assert again == settings


def test_origins_name_file_line_and_option():
    settings = load_config(PATCH, ["loss.types.0.gamma=3"])
    line = PATCH.read_text().splitlines().index("      T_max: 10000") + 1
    assert settings.origin("loss.types.0.T_max") == f"{PATCH}:{line}"
    assert settings.origin("loss.types.0.gamma") == "--opts loss.types.0.gamma"
    assert settings.origin("seed") == "default"
    assert settings.source == str(PATCH)


def test_override_keeps_the_places_of_everything_else():
    settings = load_config(PATCH)
    changed = override(settings, ["seed=7"])
    assert (changed.seed, settings.seed) == (7, 0)
    assert changed.origin("loss.types.0.T_max") == settings.origin("loss.types.0.T_max")
    assert changed.origin("seed") == "--opts seed"
    assert changed.source == settings.source
    with pytest.raises(RssegError, match="did you mean 'seed'"):
        override(settings, ["sead=7"])


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_config(PATCH).iters = 3


@pytest.mark.parametrize(
    ("optimizer", "kind", "momentum"),
    [
        ({"type": "sgd", "momentum": 0.8}, "Momentum", 0.8),
        ({"type": "SGD"}, "SGD", None),
        ({"type": "momentum"}, "Momentum", 0.9),
        ({"type": "adam", "weight_decay": 4.0e-5}, "Adam", None),
        ({"type": "AdamW", "beta1": 0.9}, "AdamW", None),
    ],
)
def test_optimizers_in_paddlesegs_spellings(edited, optimizer, kind, momentum):
    chosen = load_config(edited(optimizer=optimizer)).optimizer
    assert (chosen.type, getattr(chosen, "momentum", None)) == (kind, momentum)


def test_the_old_learning_rate_section(edited):
    old = {"value": 0.01, "decay": {"type": "poly", "power": 0.8, "end_lr": 0.001}}
    schedule = load_config(edited(lr_scheduler=None, learning_rate=old)).lr_scheduler
    assert (schedule.type, schedule.learning_rate, schedule.power, schedule.end_lr) == (
        "PolynomialDecay",
        0.01,
        0.8,
        0.001,
    )


def test_schedule_defaults_are_paddles(edited):
    schedule = load_config(edited(lr_scheduler={"type": "PolynomialDecay", "learning_rate": "1e-2"})).lr_scheduler
    assert (schedule.learning_rate, schedule.end_lr, schedule.power, schedule.decay_steps) == (0.01, 1e-4, 1.0, None)


def test_paddlesegs_gradient_clipping(edited):
    clip = {"name": "ClipGradByGlobalNorm", "clip_norm": 1.5}
    settings = load_config(edited(optimizer={"type": "AdamW", "grad_clip_cfg": clip}))
    assert (settings.grad_clip.type, settings.grad_clip.value) == ("global_norm", 1.5)
    clip["name"] = "ClipGradByNorm"
    assert load_config(edited(optimizer={"type": "AdamW", "grad_clip_cfg": clip})).grad_clip.type == "per_tensor"
    assert load_config(PATCH).grad_clip.value == 35  # the recipe's, hard-wired where its file comes from
    clip["name"] = "ClipGradByValue"
    assert "grad_clip_cfg" in refused(edited(optimizer={"type": "AdamW", "grad_clip_cfg": clip}))


def test_keys_without_effect_are_told(edited, caplog):
    path = edited(export={"transforms": []}, to_static_training=True, test_config={"aug_eval": False, "scales": 1.0})
    with caplog.at_level(logging.WARNING):
        load_config(path)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert all("edited.yml:" in line and "no effect" in line for line in lines)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distill_loss": {"types": [], "coef": []}}, "distill_loss: distillation is not there yet"),
        ({"optimizer": {"type": "sgd", "custom_cfg": [{"name": "head", "lr_mult": 10}]}}, "optimizer.custom_cfg:"),
    ],
)
def test_keys_whose_meaning_is_missing_are_errors(edited, changes, message):
    assert message in refused(edited(**changes))


def test_augmentation_in_paddleseg_s_words_and_in_ours(edited):
    flips = {"aug_eval": True, "flip_horizontal": True, "flip_vertical": True, "scales": 0.75}
    test = load_config(edited(test_config=flips)).test_config
    assert (test.views, test.scales) == (["identity", "lr", "tb", "lrtb"], [0.75])
    test = load_config(edited(test_config={"aug_eval": True, "flip_horizontal": False})).test_config
    assert (test.views, test.scales) == (["identity"], [1.0])
    test = load_config(edited(test_config={"views": ["identity", "diag"], "scales": [0.5, 1]})).test_config
    assert (test.views, test.scales) == (["identity", "diag"], [0.5, 1.0])


def test_one_loss_serves_all_outputs(edited):
    loss = {"types": [{"type": "CrossEntropyLoss"}], "coef": [1, 0.4]}
    settings = load_config(edited(loss=loss))
    assert [t.type for t in settings.loss.types] == ["CrossEntropyLoss"] * 2
    assert settings.loss.coef == [1.0, 0.4]


def test_losses_shared_by_an_anchor(tmp_path):
    text = PATCH.read_text().partition("\nloss:")[0]
    text += "\nloss:\n  types:\n    - &ce\n      type: CrossEntropyLoss\n    - *ce\n  coef: [1, 0.4]\n"
    (tmp_path / "a.yml").write_text(text)
    assert [t.type for t in load_config(tmp_path / "a.yml").loss.types] == ["CrossEntropyLoss"] * 2


# --- what the parts tell one another ---------------------------------------------------------------------------


def test_the_model_learns_its_classes_and_bands_from_the_data(edited):
    data = {"type": "Dataset", "dataset_root": ".", "classes": ["a", "b", "c"], "bands": [4, 3, 2, 1]}
    data["transforms"] = [{"type": "Normalize", "mean": [0.1] * 4, "std": [0.2] * 4}]
    settings = load_config(edited(train_dataset=data, val_dataset=data, model={"type": "FarSeg"}))
    assert settings.model.args == {"num_classes": 3, "in_channels": 4}
    spec = inference_spec(settings)
    assert (spec.num_classes, spec.bands, spec.classes) == (3, (4, 3, 2, 1), ("a", "b", "c"))
    assert spec.mean == (0.1,) * 4


def test_the_losses_learn_the_ignored_label(edited):
    opts = ["train_dataset.ignore_index=0", "val_dataset.ignore_index=0"]
    assert load_config(PATCH, opts).loss.types[0].args["ignore_index"] == 0
    assert inference_spec(load_config(PATCH, opts)).ignore_index == 0
    assert "loss.types.0.ignore_index: 1, but 0 in the data sets" in refused(
        PATCH, *opts, "loss.types.0.ignore_index=1"
    )


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["model.num_classes=5"], "--opts model.num_classes: 5, but the data sets have 16 classes"),
        (["val_dataset.num_classes=15"], "--opts val_dataset.num_classes: 15, but 16 in train_dataset"),
        (["val_dataset.ignore_index=0"], "--opts val_dataset.ignore_index: 0, but 255 in train_dataset"),
        (["model.in_channels=4"], "3 values in Normalize for 4 bands; expected one value a band; 'rsseg stats"),
        (["train_dataset.bands=[1, 2]", "val_dataset.bands=[1, 2]"], "3 values in Normalize for 2 bands"),
        (
            ["train_dataset.bands=[1, 2, 3]", "val_dataset.bands=[1, 2]"],
            "val_dataset.in_channels: 2, but 3 in train_dataset",
        ),
        (
            ["train_dataset.bands=[1, 2, 3]", "model.in_channels=4"],
            "--opts model.in_channels: 4, but the data sets have 3",
        ),
        (["val_dataset.transforms.0.mean=[0, 0, 0]"], "val_dataset.transforms: Normalize differs"),
    ],
)
def test_disagreements_between_the_parts(opts, message):
    assert message in refused(PATCH, *opts)


def test_the_inference_description(edited):
    settings = load_config(
        PATCH, ["test_config.crop_size=640,512", "test_config.stride=320,256", "test_config.average=logits"]
    )
    spec = inference_spec(settings)
    assert (spec.window, spec.stride) == ((512, 640), (256, 320))  # PaddleSeg writes (width, height)
    assert (spec.average, spec.mean, spec.in_channels) == ("logits", (0.485, 0.456, 0.406), 3)
    spec = inference_spec(load_config(PATCH, ["test_config.crop_size=896"]))
    assert (spec.window, spec.stride) == ((896, 896), (512, 512))


def test_bands_and_size_chosen_by_transforms_reach_the_description(edited):
    normalize = {"type": "Normalize", "mean": [0.5, 0.5], "std": [0.5, 0.5]}
    transforms = [{"type": "SelectBands", "bands": [3, 1]}, {"type": "Resize", "target_size": [64, 32]}, normalize]
    data = {"type": "Dataset", "dataset_root": ".", "num_classes": 2, "bands": [7, 8, 9], "transforms": transforms}
    settings = load_config(edited(train_dataset=data, val_dataset=data, model={"type": "FarSeg"}))
    spec = inference_spec(settings)
    assert (spec.bands, spec.in_channels, spec.resize) == ((9, 7), 2, (32, 64))


@pytest.mark.parametrize("transform", ["{type: RandomHorizontalFlip}", "{type: Resize, keep_ratio: True}"])
def test_a_validation_transform_that_cannot_travel_is_refused(transform):
    normalize = "{type: Normalize, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}"
    settings = load_config(PATCH, [f"val_dataset.transforms=[{transform}, {normalize}]"])
    with pytest.raises(RssegError, match="in val_dataset; expected Normalize, SelectBands, Resize to a fixed size"):
        inference_spec(settings)


def test_a_data_set_is_built_with_its_mode_and_seed(tmp_path, edited):
    import cv2
    import numpy as np

    for name in ("i.png", "l.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 9), np.uint8))
    (tmp_path / "list.txt").write_text("i.png l.png\n")
    section = {"type": "Dataset", "dataset_root": str(tmp_path), "num_classes": 2, "img_channels": 3}
    section["transforms"] = [{"type": "Normalize"}]
    settings = load_config(
        edited(
            train_dataset=section | {"train_path": str(tmp_path / "list.txt")},
            val_dataset=section | {"val_path": str(tmp_path / "list.txt")},
            model={"type": "FarSeg"},
            seed=3,
        )
    )
    train, val = build_dataset(settings, "train"), build_dataset(settings, "val")
    assert (train.mode, val.mode, train.seed, len(val)) == ("train", "val", 3, 1)
    assert val[0]["image"].shape == (8, 9, 3)
    with pytest.raises(RssegError, match="no test_dataset"):
        build_dataset(settings, "test")
    check_paths(settings, "train+val")


def test_missing_files_are_asked_for_only_by_who_needs_them(tmp_path, edited):
    (tmp_path / "data").mkdir()
    root = str(tmp_path / "data")
    settings = load_config(PATCH, [f"train_dataset.dataset_root={root}", f"val_dataset.dataset_root={root}"])
    with pytest.raises(RssegError, match=r"train_dataset.train_path: ../iSAID/train_list.txt does not exist"):
        check_paths(settings, "train")
    settings = override(settings, [f"val_dataset.val_path={root}"])
    check_paths(settings, "val")  # neither training data nor the pre-trained file
    settings = override(settings, [f"train_dataset.train_path={root}"])
    with pytest.raises(RssegError, match=r"model.pretrained: pretrain_weights/resnet50_pth.pdparams does not exist"):
        check_paths(settings, "train")
    with pytest.raises(RssegError, match="is an address; expected a file"):
        check_paths(override(settings, ["model.pretrained=https://example.org/x.pdparams"]), "train")
    check_paths(override(settings, ["model.pretrained=null"]), "train")


# --- what is refused -------------------------------------------------------------------------------------------


def keys(value: object, path: tuple = ()) -> list[tuple]:
    if isinstance(value, dict):
        return [p for key, child in value.items() for p in [(*path, key), *keys(child, (*path, key))]]
    if isinstance(value, list):
        return [p for i, child in enumerate(value) for p in keys(child, (*path, i))]
    return []


FULL = load_config(
    PATCH,
    ["test_config={is_slide: True, crop_size: 896, stride: 512}", "early_stop_intervals=5",
     "eval_intervals=[[0, 5], [0.5, 2]]",
     "model.backbone={type: ResNet50}", "lr_scheduler.decay_steps=100",
     "test_dataset={type: Dataset, dataset_root: ., num_classes: 16, test_path: x}"],
)  # fmt: skip


def test_the_misspelling_test_covers_every_setting():
    assert set(Settings.model_fields) == set(FULL.plain())


def test_every_setting_is_documented():
    text = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
    sections = (schema.Loss, schema.GradClip, schema.TestConfig, schema.SGD, schema.Momentum, schema.Adam, schema.AdamW)
    schedules = schema.Schedule.__subclasses__()
    for section in (Settings, *sections, *schedules):
        for key in section.model_fields:
            assert f"`{key}`" in text, f"{section.__name__}.{key}"
    for named in (*sections[3:], *schedules):
        assert f"`{named.__name__}`" in text


def test_the_documented_defaults_are_the_defaults():
    text = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    told = {}
    for names, _, default in (row for row in rows if len(row) == 3):
        told |= dict(zip(names.replace("`", "").split(", "), default.replace("`", "").split(", "), strict=False))
    told = {key: {"–": None, "none": None, "never": None}.get(value, value) for key, value in told.items()}
    told["grad_clip"] = schema.GradClip(type=told["grad_clip"], value=35)
    told["test_config"] = schema.TestConfig()
    assert set(told) == set(Settings.model_fields)
    for key, field in Settings.model_fields.items():
        real = None if field.is_required() else field.default
        assert told[key] == (str(real) if isinstance(real, int) else real), key
    # what None stands for is decided by the back end
    assert schema.TestConfig().window_batch is None
    assert "`window_batch` (1 on a CPU, 4 on a GPU)" in text


@pytest.mark.parametrize(
    "path", [p for p in keys(FULL.plain()) if p[-1] != "type"], ids=lambda p: ".".join(map(str, p))
)
def test_every_key_misspelt_is_told_with_the_right_one(tmp_path, path):
    values = FULL.plain()
    section = values
    for part in path[:-1]:
        section = section[part]
    wrong = path[-1][:-1] + "q" if len(path[-1]) > 1 else path[-1] * 2
    section[wrong] = section.pop(path[-1])
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump(values, sort_keys=False))
    message = refused(tmp_path / "wrong.yml")
    assert f"did you mean {path[-1]!r}?" in message
    assert ".".join(map(str, (*path[:-1], wrong))) in message
    assert message.startswith(f"{tmp_path}/wrong.yml:")
    line = int(message.removeprefix(f"{tmp_path}/wrong.yml:").partition(":")[0])
    assert wrong in (tmp_path / "wrong.yml").read_text().splitlines()[line - 1]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("batch_size=yes", "batch_size: yes; expected another value than yes or no"),
        ("batch_size=0", "batch_size: 0; expected greater than or equal to 1"),
        ("iters=six", "iters: six; expected an integer"),
        ("iters=2.5", "iters: 2.5; expected an integer"),
        ("iters=null", "iters: null; expected an integer"),
        ("optimizer.type=sgdd", "optimizer.type: unknown type 'sgdd'; expected one of SGD, Momentum, Adam, AdamW; did"),
        ("optimizer=3", "optimizer.type: no 'type' in 3"),
        ("lr_scheduler.type=PolyDecay", "did you mean"),
        ("lr_scheduler={type: StepDecay, learning_rate: 1}", "lr_scheduler.step_size: not given"),
        ("model=3", "model: 3; expected a mapping with the key 'type'"),
        ("model={num_classes: 16}", "model.type: no key 'type'"),
        ("model.type=[FarSeg]", "model.type: type is ['FarSeg']"),
        ("model.type=FarSegg", "model.type: unknown model 'FarSegg'; did you mean 'FarSeg'?"),
        ("model.backbone=ResNet5", "model.backbone: unknown backbone 'ResNet5'; did you mean 'ResNet50'?"),
        ("model.backbone={type: ResNet51}", "model.backbone.type: unknown backbone 'ResNet51'"),
        ("model.backbone={output_stride: 8}", "model.backbone: {'output_stride': 8}; expected a mapping {type: Name"),
        ("model.num_classes=sixteen", "model.num_classes: sixteen; expected an integer"),
        ("model.output_stride=7", "model.output_stride: 7; expected 8, 16 or 32"),
        ("model.backbone={type: ResNet18, output_stride: 7}", "model.backbone.output_stride: 7; expected 8, 16 or 32"),
        ("model.freeze_at=6", "model.freeze_at: 6; expected 0, 1, 2, 3, 4 or 5"),
        ("model.norm=BatchNom", "model.norm: BatchNom; expected 'BatchNorm' or 'GroupNorm'"),
        ("model.pretrained=3", "model.pretrained: 3; expected the path of a weights file"),
        ("model.scale_aware_proj=maybe", "model.scale_aware_proj: maybe; expected a boolean"),
        ("train_dataset.type=Datasett", "train_dataset.type: unknown data set 'Datasett'; did you mean 'Dataset'?"),
        ("train_dataset.mode=training", "train_dataset.mode: training; expected 'train', 'val' or 'test'"),
        ("train_dataset.seed=3", "train_dataset.seed: not set here; expected the top-level key 'seed'"),
        ("train_dataset.transforms=Normalize", "train_dataset.transforms: Normalize; expected a list"),
        ("train_dataset.transforms=[Normalize]", "train_dataset.transforms.0: 'Normalize'; expected a mapping"),
        ("train_dataset.transforms.0.type=RandomHorizontalFlop", "did you mean 'RandomHorizontalFlip'?"),
        ("train_dataset.transforms.0.prob=2", "train_dataset.transforms.0.prob: 2.0; expected 0 to 1"),
        ("train_dataset.transforms.2.K=[5]", "train_dataset.transforms.2.K: 5; expected 0 to 3"),
        ("train_dataset.transforms.0.prob=high", "train_dataset.transforms.0.prob: high; expected a number"),
        ("train_dataset.transforms.0.prob=yes", "train_dataset.transforms.0.prob: True; expected a number"),
        ("train_dataset.transforms.3.std=[0, 1, 1]", "transforms.3.std: [0, 1, 1]; expected numbers above 0"),
        ("loss.coef=[1, 2, x]", "loss.coef.2: x; expected a number"),
        ("loss={types: [{type: CrossEntropyLoss}, {type: CrossEntropyLoss}], coef: [1]}", "coef: 1 weights for 2"),
        ("loss.types.0.T_max=-1", "loss.types.0.T_max: -1; expected a number of iterations"),
        ("loss={types: []}", "loss.types: []"),
        ("loss={types: [{type: CrossEntropyLoss}]}", "loss.coef: not given"),
        ("test_config={is_slide: True}", "test_config.crop_size: is_slide without crop_size"),
        ("test_config={stride: 8}", "test_config.crop_size: stride without crop_size"),
        ("test_config={crop_size: 8, stride: 9}", "test_config.stride: [9, 9] is larger than crop_size [8, 8]"),
        ("test_config={crop_size: [8, 8, 8]}", "test_config.crop_size"),
        ("test_config.average=mean", "test_config.average: mean; expected 'probs' or 'logits'"),
        ("precision=fp8", "precision: fp8; expected 'fp32', 'fp16' or 'bf16'"),
        ("sync_bn=maybe", "sync_bn: maybe; expected a boolean or 'auto'"),
        ("learning_rate=0.1", "learning_rate: 0.1; expected lr_scheduler"),
        ("learning_rate={value: 0.1}", "learning_rate: lr_scheduler is there too"),
    ],
)  # fmt: skip
def test_wrong_values_are_told_with_place_and_way_out(option, message):
    told = refused(PATCH, option)
    assert message in told
    assert told.startswith("--opts "), "an override must be blamed, not the file"


@pytest.mark.parametrize("key", ["iters", "train_dataset", "val_dataset", "model", "optimizer", "lr_scheduler", "loss"])
def test_a_missing_section_is_told(edited, key):
    assert refused(edited(**{key: None})) == (
        f"{edited(**{key: None})}:1: {key}: not given; expected a value for {key!r}; add it to the YAML"
    )


def test_an_argument_left_over_from_a_base_is_explained(tmp_path):
    (tmp_path / "child.yml").write_text(
        f"_base_: {PATCH}\nloss:\n  types: [{{type: CrossEntropyLoss}}]\nval_dataset: {{type: DubaiDataset}}\n"
    )
    assert "'_inherited_: False' drops all that the base says here" in refused(tmp_path / "child.yml")


@pytest.mark.parametrize("registry", [MODELS, BACKBONES, LOSSES, DATASETS, TRANSFORMS], ids=lambda r: r.kind)
def test_the_annotations_of_every_component_can_be_checked(registry):
    for name in registry.names():
        adapters(registry, name)
