"""A comparison reads the artifacts that its reports were made of."""

import pytest

from flows.compare import artifacts_of, with_seeds
from genrec.config import Config
from genrec.errors import ConfigError
from genrec.store.local import Store


def _put(store, content):
    more = {"version": 1, "config_slice": {}, "inputs": {}, "summary": {}, "seconds": 0.0}
    with store.scratch() as out:
        (out / "f.txt").write_text(content)
        return store.commit("evaluate-1", "evaluate", out, **more, replace=True)


def _report(artifact):
    return {"stages": [{"name": "evaluate", "key": artifact.key, "digest": artifact.digest}]}


def test_an_artifact_that_was_refreshed_since_is_read_as_it_was_reported(tmp_path):
    store = Store(tmp_path)
    old, new = _put(store, "old"), _put(store, "new")
    for artifact, content in ((old, "old"), (new, "new")):
        folder = artifacts_of([_report(artifact)], store)("evaluate-1")
        assert (folder / "f.txt").read_text() == content


def test_one_that_is_gone_is_read_as_it_is_now_and_one_without_any_is_named(tmp_path):
    store = Store(tmp_path)
    old, new = _put(store, "old"), _put(store, "new")
    (old.path / "f.txt").write_text("damaged")
    assert artifacts_of([_report(old)], store)("evaluate-1") == new.path
    (new.path / "f.txt").write_text("damaged")
    with pytest.raises(ConfigError, match="evaluate-1: no longer in the store"):
        artifacts_of([_report(old)], store)("evaluate-1")


def test_configs_of_several_stores_are_refused_before_the_first_run(tmp_path):
    configs = [Config(name=name, store=str(tmp_path / name)) for name in ("one", "two")]
    with pytest.raises(ConfigError, match=r"several stores, .*one, .*two; give one with --store"):
        with_seeds(configs, 1)
