"""Every leaf of the config belongs to one stage: changing it changes the keys of that stage and those after, no other."""

import importlib
from pathlib import Path

import pytest

from genrec.config import Config
from genrec.config.load import load_config
from genrec.store.local import Artifact
from tasks.run import STAGES

# stage -> the stages it reads
READS = {
    "ingest": [],
    "prepare": ["ingest"],
    "embed": ["prepare"],
    "sid": ["prepare", "embed"],
    "base": ["prepare"],
    "sft": ["prepare", "embed", "sid", "base"],
    "rl": ["prepare", "sid", "base", "sft"],
    "baselines": ["prepare", "embed"],
    "evaluate": ["prepare", "sid", "base", "sft", "rl", "baselines"],
}
# section -> stages that read it themselves
OWNERS = {
    "name": set(),
    "store": set(),
    "resources": set(),
    "service": set(),  # what is taken over enters keys by its origin (tests/unit/tasks/test_stage.py)
    "seed": {"sid", "base", "sft", "rl", "baselines"},
    "data": {"ingest"},
    "prepare": {"prepare"},
    "embed": {"embed"},
    "sid": {"sid"},
    "base": {"base"},
    "sft": {"sft"},
    "rl": {"rl"},
    "evaluate": {"evaluate"},
}


def keys(config: Config) -> dict[str, str]:
    artifacts: dict[str, Artifact] = {}
    for name in STAGES:
        stage = getattr(importlib.import_module(f"tasks.stages.{name}"), name)
        key, _, _ = stage.key(config, {n: artifacts[n] for n in READS[name]})
        artifacts[name] = Artifact(key, name, Path(), "", {}, 0.0)
    return {name: a.key for name, a in artifacts.items()}


def _after(owners: set[str]) -> set[str]:
    hit = set(owners)
    for name in STAGES:
        if hit & set(READS[name]):
            hit.add(name)
    return hit


def _leaves(model, at=""):
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if hasattr(type(value), "model_fields"):
            yield from _leaves(value, f"{at}{name}.")
        else:
            extra = field.json_schema_extra
            yield f"{at}{name}", value, bool(isinstance(extra, dict) and extra.get("knob"))


_LEAVES = [leaf for leaf in _leaves(Config()) if isinstance(leaf[1], int | float) and not isinstance(leaf[1], bool)]


@pytest.mark.parametrize(("path", "value", "is_knob"), _LEAVES, ids=lambda v: v if isinstance(v, str) else "")
def test_a_number_changes_its_stage_and_those_after_and_nothing_else(path, value, is_knob):
    changed = value + 1 if isinstance(value, int) else (value + 0.01)
    section = path.partition(".")[0]
    owners = set() if is_knob else OWNERS[section]
    if path in ("sid.num_levels", "sid.num_codes"):
        owners = {"sid", "base"}  # the base model has a token for every code
    if path == "evaluate.beam_width":
        owners = {"baselines", "evaluate"}  # the length of a list
    before, after = keys(Config()), keys(load_config([], [f"{path}={changed!r}"]))
    assert {n for n in STAGES if before[n] != after[n]} == _after(owners)


def test_choices_and_lists_change_keys_too():
    before = keys(Config())
    for override, owner in [
        ("prepare.split=global_time", "prepare"),
        ("embed.fields=[title]", "embed"),
        ("sid.method=rqvae", "sid"),
        ("sft.adapter=lora", "sft"),
        ("rl.rewards=[exact_hit]", "rl"),
        ("evaluate.ks=[1]", "evaluate"),
        ("evaluate.baselines=[itemcf]", "baselines"),
        ("data.options.seed=4", "ingest"),
    ]:
        after = keys(load_config([], [override]))
        assert {n for n in STAGES if before[n] != after[n]} == _after({owner}), override


def test_where_the_data_lies_does_not_matter_only_what_it_holds(tmp_path):
    def config(folder: str, rows: str):
        path = tmp_path / folder
        path.mkdir()
        (path / "interactions.csv").write_text("user_id,item_id,timestamp\n" + rows)
        (path / "items.csv").write_text("item_id,title,description,brand,categories\ni,t,d,b,c\n")
        return load_config([], ["data.source=table", f"data.path={path}"])

    first, moved, other = (keys(config(n, r)) for n, r in (("a", "u,i,1\n"), ("b", "u,i,1\n"), ("c", "u,i,2\n")))
    assert first == moved
    assert first["ingest"] != other["ingest"]
