"""No network is registered without the contract's tests."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract import ModelContract

from paddle_rsseg.models import model_spec
from paddle_rsseg.registry import MODELS


def contracts(kind: type = ModelContract) -> Iterator[type]:
    """Every contract class of this folder's test modules."""
    for path in sorted(Path(__file__).parent.glob("test_models_*.py")):
        importlib.import_module(path.stem)
    for child in kind.__subclasses__():
        yield child
        yield from contracts(child)


KEPT = {model_spec(contract.spec)["type"] for contract in contracts() if hasattr(contract, "spec")}


@pytest.mark.parametrize("name", MODELS.names())
def test_a_registered_network_has_its_contract(name):
    assert name in KEPT, f"class Test{name}(ModelContract): spec = {{'type': {name!r}}}"
