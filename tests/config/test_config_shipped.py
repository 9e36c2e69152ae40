"""The configurations that ship: all load, and the FarSeg recipe means what its source's files mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddle_rsseg.config import inference_spec, load_config
from paddle_rsseg.data.datasets import DubaiDataset, ISAIDDataset

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(p for p in (ROOT / "configs").glob("[!_]*/*.yml") if p.parent.name != "ensembles")
FACTS = Path(__file__).parent / "files"
IMAGENET = {"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def test_there_are_some():
    assert len(SHIPPED) >= 5


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_file_loads_and_is_commented(path):
    settings = load_config(path)
    spec = inference_spec(settings)
    assert len(spec.classes) == len(spec.palette) == spec.num_classes
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize(("name", "root"), [("patch", "../iSAID"), ("slide", "../iSAID/valid_dir")])
def test_the_sources_files_load_with_their_meaning(name, root):
    settings = load_config(FACTS / f"source_{name}.yml")
    assert (settings.batch_size, settings.iters) == (8, 60000)
    assert settings.train_dataset.spec() == {
        "type": "Dataset", "dataset_root": "../iSAID", "num_classes": 16, "train_path": "../iSAID/train_list.txt",
        "mode": "train",
        "transforms": [
            {"type": "RandomHorizontalFlip", "prob": 0.5}, {"type": "RandomVerticalFlip", "prob": 0.5},
            {"type": "RandomRotate90K", "K": [0, 1, 2, 3]}, IMAGENET,
        ],
    }  # fmt: skip
    assert settings.val_dataset.spec() == {
        "type": "Dataset", "dataset_root": root, "num_classes": 16, "val_path": f"{root}/val_list.txt", "mode": "val",
        "transforms": [IMAGENET],
    }  # fmt: skip
    assert settings.model.spec() == {
        "type": "FarSeg", "num_classes": 16, "pretrained": "pretrain_weights/resnet50_pth.pdparams",
    }  # fmt: skip
    optimizer, schedule = settings.optimizer, settings.lr_scheduler
    assert (optimizer.type, optimizer.momentum, optimizer.weight_decay) == ("Momentum", 0.9, 1e-4)
    assert (schedule.type, schedule.learning_rate, schedule.end_lr, schedule.power) == (
        "PolynomialDecay",
        0.007,
        0,
        0.9,
    )
    assert schedule.warmup_iters == 0
    assert [t.spec() for t in settings.loss.types] == [
        {"type": "AnnealingSoftmaxFocalLoss", "T_max": 10000, "gamma": 2.0}
    ]
    assert settings.loss.coef == [1]


@pytest.mark.parametrize(
    ("ours", "source"),
    [("farseg_r50_896x896_asf_amp_60k", "source_patch"), ("farseg_r50_slide_val", "source_slide")],
)
def test_our_recipe_means_the_same(ours, source):
    ours, source = load_config(ROOT / f"configs/farseg/{ours}.yml"), load_config(FACTS / f"{source}.yml")
    for key in ("batch_size", "iters", "loss", "optimizer", "lr_scheduler", "grad_clip", "seed"):
        assert getattr(ours, key) == getattr(source, key), key
    # the data lie beside the working directory, where `prepare` puts them, and have names and colours
    for data in ("train_dataset", "val_dataset"):
        spec = {k: v for k, v in getattr(ours, data).spec().items() if k not in ("classes", "palette")}
        theirs = getattr(source, data).spec()
        assert spec == {k: v.replace("../", "") if isinstance(v, str) else v for k, v in theirs.items()}
    assert ours.model.args == source.model.args | {"backbone": "ResNet50"}
    assert ours.precision == "fp16"  # the source's command line


def test_isaid_names_and_colours_are_the_data_sets():
    spec = inference_spec(load_config(ROOT / "configs/farseg/farseg_r50_slide_val.yml"))
    assert (spec.classes, spec.palette) == (ISAIDDataset.CLASSES, ISAIDDataset.PALETTE)
    assert (spec.window, spec.stride, spec.average, spec.pad, spec.blend) == (
        (896, 896), (512, 512), "probs", "multiple", "uniform",
    )  # fmt: skip


def test_the_dubai_recipe_holds_out_whole_tiles():
    settings = load_config(ROOT / "configs/farseg/farseg_r18_dubai.yml")
    assert (settings.train_dataset.args["tiles"], settings.val_dataset.args["tiles"]) == ([1, 2, 3, 4], [5, 6])
    assert settings.model.args["num_classes"] == len(DubaiDataset.CLASSES)
    assert inference_spec(settings).palette == DubaiDataset.PALETTE


def test_the_ten_band_recipe():
    spec = inference_spec(load_config(ROOT / "configs/farseg/farseg_r18_landsat10.yml"))
    assert (spec.in_channels, spec.bands, spec.scale) == (10, tuple(range(1, 11)), 10000)
