"""Which model is in service, as an endpoint of a store sees it."""

import errno
import json
import os

import pytest

from genrec.errors import GenrecError
from genrec.in_service.registry import CURRENT, Registry
from genrec.serve.model_files import ModelFiles
from genrec.store.local import Store
from tasks.api.sources import Exported, InStore


def put_in_service(store: Store, number: int) -> None:
    """A record as the registry writes it, of artifacts that are not there."""
    keys = {stage: f"{stage}-gone" for stage in ("ingest", "prepare", "embed", "sid", "base", "sft", "rl")}
    record = {
        "number": number,
        "action": "promote",
        "run_id": "r",
        "keys": keys,
        "why": "",
        "figures": {},
        "at_unix_s": 0,
    }
    for name in (f"{number:06d}.json", "current.json"):
        store.write_document(f"service/demo/{name}", json.dumps(record))


def test_another_change_is_another_version(tmp_path):
    store = Store(tmp_path)
    source = InStore(store, "demo")
    assert source.version() is None
    versions = []
    for number in (1, 2):
        put_in_service(store, number)
        versions.append(source.version())
    assert versions == [1, 2]


@pytest.mark.parametrize("changes_before", [0, 1])
def test_a_change_whose_copy_could_not_be_written_is_seen_by_an_endpoint_as_by_everyone(
    tmp_path, monkeypatch, changes_before
):
    store = Store(tmp_path)
    registry, write = Registry(store, "demo"), store.write_document

    def full(name, text, new=False):
        if name.endswith(CURRENT):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(name, text, new)

    for number in range(changes_before):
        registry.promote(f"run-{number + 1}", {}, "")
    number = changes_before + 1
    monkeypatch.setattr(store, "write_document", full)
    said = rf"run-b: is in service as demo \(change {number}\), but .*{CURRENT} .*\(No space left on device\)"
    with pytest.raises(GenrecError, match=said):
        registry.promote("run-b", {}, "")
    monkeypatch.undo()
    assert (registry.current().number, registry.current().run_id) == (number, "run-b")
    assert InStore(store, "demo").version() == number
    registry.promote("run-c", {}, "")
    assert InStore(store, "demo").version() == registry.current().number == number + 1


def test_a_model_whose_files_are_gone_is_named_with_what_is_missing(tmp_path):
    put_in_service(Store(tmp_path), 1)
    with pytest.raises(
        GenrecError, match=r"in service as demo: the artifact of \w+ \(\w+-gone\) is missing or damaged"
    ):
        InStore(Store(tmp_path), "demo").load()


def test_a_folder_that_is_no_export_is_refused_by_name(tmp_path):
    with pytest.raises(GenrecError, match=str(tmp_path)):
        Exported(tmp_path).load()


@pytest.mark.parametrize(
    ("prepare", "first"),
    [
        ({"dedupe": "user_item", "split": "global_time"}, True),
        ({"dedupe": "none", "split": "global_time"}, False),
        ({"dedupe": "user_item", "split": "given"}, False),
        (None, True),
    ],
    ids=["user_item", "none", "given", "no report"],
)
def test_repeats_of_an_item_are_read_as_the_run_of_the_model_prepared_them(monkeypatch, tmp_path, prepare, first):
    report = {} if prepare is None else {"config": {"prepare": prepare}}
    files = ModelFiles("m", "r", "here", *[tmp_path] * 5, encoder={}, report=report)
    for name, value in (("load_engine", lambda *of: None), ("new_ids", lambda of: None)):
        monkeypatch.setattr(f"tasks.api.sources.{name}", value)
    monkeypatch.setattr("genrec.serve.bundle.read", lambda folder, rank: files)
    monkeypatch.setattr("genrec.serve.model_files.of_latest", lambda *of: files)
    for source in (Exported(tmp_path), InStore(Store(tmp_path), "demo")):
        assert source.load().dedupe is first
