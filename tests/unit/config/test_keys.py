"""Every leaf of the config belongs to one stage: changing it changes the keys of that stage and those after, no other."""

import copy
import dataclasses
import importlib
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from genrec import variants
from genrec.config import Chosen, Config, Section, options_model
from genrec.config.flatten import flatten
from genrec.config.load import load_config
from genrec.store.local import Artifact
from tasks.run import STAGES
from tasks.stages.in_service import in_service
from tasks.stages.recommend import MODEL, recommend

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
    "rank": ["prepare", "embed", "sid", "base", "rl"],
    "evaluate": ["prepare", "sid", "base", "sft", "rl", "baselines", "rank"],
}
# section -> stages that read it themselves
OWNERS = {
    "name": set(),
    "store": set(),
    "resources": set(),
    "recommend": set(),  # behind the run: test_the_lists_for_customers_... below
    "service": set(),  # what is taken over enters keys by its origin (tests/unit/tasks/test_stage.py)
    "seed": {"sid", "base", "sft", "rl", "baselines", "rank"},
    "data": {"ingest"},
    "prepare": {"prepare"},
    "embed": {"embed"},
    "sid": {"sid"},
    "base": {"base"},
    "sft": {"sft"},
    "rl": {"rl"},
    "rank": {"rank"},
    "evaluate": {"evaluate"},
}


def keys(config: Config) -> dict[str, str]:
    artifacts: dict[str, Artifact] = {}
    for name in STAGES:
        if name == "rank" and not config.rank.enabled:
            continue
        stage = getattr(importlib.import_module(f"tasks.stages.{name}"), name)
        key, _, _ = stage.key(config, {n: artifacts[n] for n in READS[name] if n in artifacts})
        artifacts[name] = Artifact(key, name, Path(), "", {}, 0.0)
    return {name: a.key for name, a in artifacts.items()}


def _after(owners: set[str]) -> set[str]:
    hit = set(owners)
    for name in STAGES:
        if hit & set(READS[name]):
            hit.add(name)
    return hit


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A setting, another valid value of it, and what has to be set for it to be there (a variant's name, say)."""

    path: str
    other: Any
    is_knob: bool
    given: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return ",".join(f"{n}={v}" for n, v in {**self.given, self.path: self.other}.items())


# Settings whose other value needs more than the type tells.
OTHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "name": ("another", {}),
    "store": ("/elsewhere", {}),
    "prepare.events": (["click"], {}),
    "resources.ray_address": ("auto", {}),
    # The same files in another folder, of a source that reads any.
    "data.path": ("/elsewhere", {"data.source": "table", "data.options": {}}),
    "data.events": ("/elsewhere/events.sqlite", {}),
    "base.model": ("owner/name", {}),
    "base.revision": ("abc", {"base.model": "owner/name"}),
    "evaluate.ks": ([1], {}),
    "service.keep": (["vectors"], {}),
    "recommend.bought_events": (["order"], {}),
    "rank.rerank": (["mmr"], {}),
    "sft.view.options.chat": (True, {"sft.view.options": {"instruction": "words"}}),
    "sft.sharding": ("weights", {"sft.data_parallel": 2}),
    "rl.sharding": ("weights", {"rl.num_learners": 2}),
    "api.min_replicas": (2, {"api.max_replicas": 3}),
    "service.experiment": ({"name": "new-loss"}, {}),
}


def _other(annotation: Any, value: Any) -> Any:
    """Another value of a type: the next number, the other boolean or choice, a list without its last entry."""
    kind, choices = typing.get_origin(annotation), typing.get_args(annotation)
    if kind is typing.Annotated:
        return _other(choices[0], value)
    if kind is typing.Literal:
        return next(choice for choice in choices if choice != value)
    if kind in (typing.Union, types.UnionType):
        return _other(next(c for c in choices if c is not types.NoneType), value)
    if annotation is bool:
        return not value
    if annotation is int:
        return 1 if value is None else value + 1
    if annotation is float:
        return 0.25 if value is None else value * 0.75 or 0.25
    if annotation is str:
        return f"{value or ''}x"
    if kind in (list, tuple):
        return value[:-1] if value else [_other(choices[0], None)]
    if kind is dict:
        return {"x": _other(choices[1], None)}
    raise AssertionError(f"no other value of {annotation} after {value!r}: name one in OTHERS")


def _leaves(model: type[BaseModel], values: BaseModel, at: str = "") -> Iterator[Leaf]:
    """Every setting of a section, with those of every variant that may be chosen in it."""
    chosen = (model.variant_field, "options") if issubclass(model, Chosen) else ()
    for name, field in model.model_fields.items():
        path, value, extra = f"{at}{name}", getattr(values, name), field.json_schema_extra
        is_knob = bool(isinstance(extra, dict) and extra.get("knob"))
        if isinstance(value, Section):
            yield from _leaves(type(value), value, f"{path}.")
        elif isinstance(value, dict) and value and name not in chosen:
            yield from (Leaf(f"{path}.{key}", _other(type(entry), entry), is_knob) for key, entry in value.items())
        elif path in OTHERS:
            other, given = OTHERS[path]
            yield Leaf(path, other, is_knob, given)
        elif name not in chosen:
            yield Leaf(path, _other(field.annotation, value), is_knob)
        if isinstance(value, list) and value and isinstance(value[0], Chosen):
            yield from _entries(type(value[0]), path)
    if issubclass(model, Chosen):
        yield from _variants(model, values, at)


def _variants(section: type[Chosen], values: BaseModel, at: str) -> Iterator[Leaf]:
    chosen = f"{at}{section.variant_field}"
    for name, required, options in _options(section):
        given = {chosen: name, f"{at}options": required}
        if name != getattr(values, section.variant_field):
            yield Leaf(chosen, name, False, {f"{at}options": required})
        for option, other in options.items():
            path = f"{at}options.{option}"
            yield Leaf(path, other, False, {**given, **OTHERS.get(path, (None, {}))[1]})


def _entries(section: type[Chosen], path: str) -> Iterator[Leaf]:
    """A list of variants, such as the rewards: each alone in the list, with each of its settings changed."""
    for name, required, options in _options(section):
        entry = {section.variant_field: name, "options": required}
        changed = [{**entry, "options": {**required, option: other}} for option, other in options.items()]
        for field, info in section.model_fields.items():
            if field not in entry:
                changed.append({**entry, field: _other(info.annotation, info.default)})
        for other in changed:
            yield Leaf(path, [other], False, {path: [entry]})


def _options(section: type[Chosen]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Of every variant: its name, the options it must be given, and another value of each option."""
    for name in variants.names(section.variant_package):
        options = options_model(section.variant_package, name).model_fields
        if "path" in options:  # the file's content counts: tests/unit/embed has its test
            continue
        required = {n: f"owner/{n}" for n, field in options.items() if field.is_required()}
        defaults = {n: required.get(n, field.get_default(call_default_factory=True)) for n, field in options.items()}
        yield name, required, {n: _other(field.annotation, defaults[n]) for n, field in options.items()}


_MADE: dict[str, Config] = {}  # several tests go over all settings, and a config takes tens of milliseconds


def _config(settings: dict[str, Any]) -> Config:
    """The defaults with settings by dotted name."""
    written = repr(settings)
    if written not in _MADE:
        _MADE[written] = _made(settings)
    return _MADE[written]


def _made(settings: dict[str, Any]) -> Config:
    plain = Config().model_dump()
    for path, value in settings.items():
        *sections, leaf = path.split(".")
        place = plain
        for section in sections:
            place = place[section]
        place[leaf] = copy.deepcopy(value)  # the next setting may be one of its options
    return Config.model_validate(plain)


LEAVES = list(_leaves(Config, Config()))


def _owners(leaf: Leaf) -> set[str]:
    """The stages that read a setting themselves."""
    if leaf.is_knob:
        return set()
    if leaf.path in ("data.path", "data.events", "data.events_until"):
        return set()  # the files and the events count, not where they lie: tests/unit/data/test_event_rows.py
    if leaf.path in ("sid.num_levels", "sid.num_codes", "sid.deduplicate"):
        return {"sid", "base"}  # the base model has a token for every code
    if leaf.path in ("evaluate.beam_width", "evaluate.sample_users"):
        return {"baselines", "rank", "evaluate"}  # the length of a list; the rows
    if leaf.path in ("evaluate.ks", "evaluate.seen_items", "evaluate.confidence", "evaluate.num_bootstrap"):
        return {"rank", "evaluate"}  # what is decided on validation is decided by the same protocol
    if leaf.path in ("evaluate.baselines", "evaluate.choice_users"):
        return {"baselines"}
    return OWNERS[leaf.path.partition(".")[0]]


@pytest.mark.parametrize("leaf", LEAVES, ids=str)
def test_a_setting_changes_its_stage_and_those_after_and_nothing_else(leaf, monkeypatch):
    monkeypatch.setattr("tasks.stages.ingest.fingerprint", lambda data: "the files")
    monkeypatch.setattr("tasks.stages.ingest.cut_to_read", lambda data: None)
    alone = leaf.path in ("rank.enabled", "evaluate.baselines")  # the latter: see the test below
    given = leaf.given if alone else {"rank.enabled": True, **leaf.given}
    before, after = keys(_config(given)), keys(_config({**given, leaf.path: leaf.other}))
    assert {n for n in STAGES if before.get(n) != after.get(n)} == _after(_owners(leaf))


def test_without_the_stage_rank_its_settings_change_nothing():
    plain, other = keys(Config()), keys(_config({"rank.num_folds": 3}))
    assert "rank" not in plain
    assert plain == other


def test_options_of_a_baseline_change_the_ranking_that_has_it_as_a_channel():
    given = {"rank.enabled": True, "rank.channels": {"als": 0}, "evaluate.baselines": ["als", "swing"]}
    before, als, swing = (
        keys(_config({**given, "evaluate.baselines": [{"name": name, "options": options}]}))["rank"]
        for name, options in (("swing", {}), ("als", {"factors": 5}), ("swing", {"alpha": 2.0}))
    )
    assert before == als
    assert before != swing


def test_every_setting_of_the_manual_is_covered():
    tested = {leaf.path for leaf in LEAVES}
    without_options = {path for path in flatten(Config().model_dump()) if not path.endswith(".options")}
    assert without_options - tested == set()
    assert {"sft.item_vectors.text", "sft.gradient_checkpointing", "sid.refit", "evaluate.precision"} <= tested


def test_the_comparison_with_the_model_in_service_has_the_key_of_its_search_and_of_nothing_else():
    """Its inputs are artifacts; cut-offs are applied to the ranks that it stores."""
    artifacts = ("prepare", "old_prepare", "old_sid", "old_base", "old_model")
    inputs = {name: Artifact(name, name, Path(), "", {}, 0.0) for name in artifacts}

    def key(settings: dict[str, Any]) -> str:
        return in_service.key(_config(settings), inputs)[0]

    changing = {leaf.path for leaf in LEAVES if key(leaf.given) != key({**leaf.given, leaf.path: leaf.other})}
    searched = ("beam_width", "seen_items", "precision", "compile", "sample_users")
    assert changing == {f"evaluate.{name}" for name in searched}


def _lists_key(settings: dict[str, Any]) -> str:
    inputs = {name: Artifact(name, name, Path(), "", {}, 0.0) for name in ("ingest", *MODEL)}
    return recommend.key(_config(settings), inputs)[0]


def test_the_lists_for_customers_have_the_key_of_their_settings_and_of_how_histories_are_read(monkeypatch):
    monkeypatch.setattr("tasks.stages.recommend.of_file", lambda setting, file: f"the content of {file}")
    changing = {
        leaf.path for leaf in LEAVES if _lists_key(leaf.given) != _lists_key({**leaf.given, leaf.path: leaf.other})
    }
    own = {leaf.path for leaf in LEAVES if leaf.path.startswith("recommend.") and not leaf.is_knob}
    assert changing == own | {"prepare.events", "prepare.min_rating", "prepare.dedupe", "evaluate.precision"}


def test_of_the_files_of_the_lists_the_content_counts_not_the_place(tmp_path):
    for name, text in (("a", "u1\n"), ("b", "u1\n"), ("c", "u2\n")):
        (tmp_path / name).write_text(text)
    first, moved, other = (_lists_key({"recommend.users": str(tmp_path / name)}) for name in "abc")
    assert first == moved
    assert first != other


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


def test_what_came_later_leaves_the_keys_of_stored_results_as_they_are():
    written = Config().sft.key_slice()
    assert not {"prefix_tokens", "prefix_projection"} & written.keys()
    assert "chat" not in written["view"]["options"]
    asked = _config({"sft.view": {"name": "sid_tokens", "options": {"chat": True, "instruction": "words"}}}).sft
    assert asked.key_slice()["view"]["options"]["chat"] is True
    assert _config({"sft.prefix_tokens": 8}).sft.key_slice()["prefix_tokens"] == 8
