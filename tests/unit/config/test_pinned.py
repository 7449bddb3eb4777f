"""A model of the hub is named with its commit, so that a recipe means the same weights next year."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CONF = Path(__file__).parents[3] / "conf"
FILES = sorted(CONF.rglob("*.yaml"))
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")


def models(node: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping with a key `model` that holds a hub id, and where it is."""
    if isinstance(node, dict):
        if isinstance(node.get("model"), str) and HUB_ID.fullmatch(node["model"]):
            yield where, node
        for name, value in node.items():
            yield from models(value, f"{where}.{name}" if where else name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_every_hub_model_of_a_config_is_pinned_to_a_commit(path):
    for where, settings in models(yaml.safe_load(path.read_text())):
        assert COMMIT.fullmatch(settings.get("revision") or ""), f"{path.name}: {where}.model has no commit beside it"


def test_the_recipes_name_hub_models_at_all():
    found = {path.name for path in FILES if list(models(yaml.safe_load(path.read_text())))}
    assert {"a100.yaml", *(p.name for p in (CONF / "recipes").glob("*.yaml"))} <= found


def test_one_model_has_one_commit_everywhere():
    pairs = {(m["model"], m["revision"]) for path in FILES for _, m in models(yaml.safe_load(path.read_text()))}
    assert len(pairs) == len({model for model, _ in pairs})
