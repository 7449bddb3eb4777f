"""Which model is in service, as an endpoint of a store sees it."""

import errno
import json
import os

import pytest

from genrec.errors import GenrecError
from genrec.in_service.registry import CURRENT, Registry
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
