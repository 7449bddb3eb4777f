"""The store at a URL: the same guarantees as on a disk, from any machine that reaches it."""

import json
import time

import fsspec
import pytest

from genrec.errors import ConfigError, GenrecError
from genrec.in_service.registry import Registry
from genrec.store.local import MANIFEST, Store
from genrec.store.remote import CUT_OFF_S, RemoteStore, local_root, open_store

MORE = {"version": 1, "config_slice": {"a": 1}, "inputs": {}, "summary": {"n": 3}, "seconds": 0.5}


@pytest.fixture
def url(tmp_path, request):
    address = f"memory://{request.node.name[:40].replace('[', '-').replace(']', '')}"
    yield address
    fs = fsspec.filesystem("memory")
    if fs.exists(address):
        fs.rm(address, recursive=True)


@pytest.fixture
def machines(url, tmp_path):
    """Two machines, each with a staging folder of its own."""
    return [RemoteStore(url, tmp_path / name) for name in ("one", "two")]


def _commit(store: Store, key="sid-1", text="hello", **more):
    with store.scratch() as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text(text)
        (folder / "b.bin").write_bytes(bytes(range(256)))
        return store.commit(key, "sid", folder, **{**MORE, **more})


def _remote(store, *parts):
    return "/".join([store.base, *parts])


def test_what_one_machine_commits_another_finds_byte_for_byte(machines):
    one, two = machines
    made = _commit(one)
    found = two.lookup("sid-1")
    assert (found.digest, found.summary) == (made.digest, made.summary)
    for file in ("deep/a.txt", "b.bin", MANIFEST):
        assert (found.path / file).read_bytes() == (made.path / file).read_bytes()
    assert two.lookup("sid-2") is None


def test_an_upload_that_was_cut_off_at_any_file_is_never_seen(machines, monkeypatch):
    one, two = machines
    calls = {"left": 0}

    def put(source, target, real=one.fs.put_file):
        if not calls["left"]:
            raise OSError("connection lost")
        calls["left"] -= 1
        real(source, target)

    for whole_files in range(2):
        calls["left"] = whole_files
        with monkeypatch.context() as patch:
            patch.setattr(one.fs, "put_file", put)
            with pytest.raises(OSError, match="connection lost"):
                _commit(one)
        assert two.lookup("sid-1") is None
        assert one.lookup("sid-1") is None
    made = _commit(one)
    assert two.lookup("sid-1").digest == made.digest
    uploads = one._names(_remote(one, "objects", "sid-1"))
    assert len(uploads) == 1  # what was cut off is gone


def test_a_store_named_like_a_pattern_keeps_and_removes_what_any_other_does(tmp_path):
    one, two = (RemoteStore("memory://shop [1]*", tmp_path / name) for name in ("one", "two"))
    _commit(one, text="old")
    place = _remote(one, "objects", "sid-1")
    one.fs.pipe_file(f"{place}/{int(time.time() - CUT_OFF_S) - 5:010d}-abc/b.bin", b"cut off")
    _commit(one, text="new", replace=True)
    assert two.lookup("sid-1").digest == one.lookup("sid-1").digest
    assert len([path for path in one.fs.find(place) if path.endswith("b.bin")]) == 2  # the old and the new upload
    one.release()
    assert one.remove_old_generations() >= 1
    assert len([path for path in one.fs.find(place) if path.endswith("b.bin")]) == 1
    for path in one.fs.find(one.base):
        one.fs.rm_file(path)


def test_the_first_marker_wins_and_everyone_ends_with_its_bytes(machines):
    one, two = machines
    first = _commit(one, text="first")
    second = _commit(two, text="second")
    assert second.digest == first.digest
    assert (second.path / "deep" / "a.txt").read_text() == "first"


def test_replacing_reaches_the_other_machine_too(machines):
    one, two = machines
    _commit(one, text="old")
    assert _text(two.lookup("sid-1")) == "old"
    _commit(one, text="new", replace=True)
    assert _text(two.lookup("sid-1")) == "new"


def _text(artifact):
    return (artifact.path / "deep" / "a.txt").read_text()


def _reported(store, run, *artifacts):
    stages = [{"name": a.stage, "key": a.key, "digest": a.digest} for a in artifacts]
    store.write_document(f"runs/{run}/report.json", json.dumps({"stages": stages}))


def test_a_replaced_upload_stays_while_a_report_names_it_and_its_readers_finish(machines):
    one, two = machines
    old = _commit(one, text="old")
    reading = two.lookup("sid-1")
    new = _commit(one, text="new", replace=True)
    _reported(one, "r1", old)
    assert one.remove_old_generations() == two.remove_old_generations() == 0
    assert _text(reading) == "old"
    assert _text(two.lookup("sid-1")) == "new"
    one.release()
    two.release()
    assert _text(two.lookup("sid-1", old.digest)) == "old"
    assert _text(RemoteStore(one.url, one.root.parent / "three").lookup("sid-1", old.digest)) == "old"
    two.release()
    _reported(one, "r1", new)
    assert one.remove_old_generations() == 2  # the upload, and the copy on this machine
    assert len(one._names(_remote(one, "objects", "sid-1"))) == 1
    assert two.lookup("sid-1").digest == new.digest
    assert one._names(_remote(one, "corrupt")) == []


def test_two_machines_that_remove_the_same_replaced_upload_and_a_damaged_marker_stop_no_run(machines, monkeypatch):
    one, two = machines
    old = _commit(one, text="old")
    new = _commit(one, text="new", replace=True)
    one.write_document("earlier/sid-1/damaged.json", "[")
    assert two.lookup("sid-1", old.digest).digest == old.digest
    for store in machines:
        store.release()
    read = two.read_document

    def read_late(name):  # once two knows of the replaced upload, one removes it
        if name.startswith("earlier/") and name != "earlier/sid-1/damaged.json":
            monkeypatch.setattr(two, "read_document", read)
            assert one.remove_old_generations() > 0
        return read(name)

    monkeypatch.setattr(two, "read_document", read_late)
    two.remove_old_generations()
    assert two.list_documents("earlier/sid-1") == ["damaged.json"]
    assert two.lookup("sid-1").digest == new.digest


def test_a_reader_whose_upload_is_replaced_and_removed_gets_the_new_one_and_disturbs_nothing(machines, monkeypatch):
    one, two = machines
    _commit(one, text="old")

    def get(source, target, real=two.fs.get_file):
        monkeypatch.setattr(two.fs, "get_file", real)  # once: then the new upload is read in peace
        new = _commit(one, text="new", replace=True)
        one.release()
        assert one.remove_old_generations() > 0
        assert one.lookup("sid-1") == new
        real(source, target)

    monkeypatch.setattr(two.fs, "get_file", get)
    assert _text(two.lookup("sid-1")) == "new"
    assert one._names(_remote(one, "corrupt")) == []
    assert _text(one.lookup("sid-1")) == "new"


@pytest.mark.parametrize("fail_at", range(6))
def test_a_refresh_that_fails_at_any_call_leaves_the_old_or_the_new(machines, monkeypatch, fail_at):
    one, two = machines
    _commit(one, text="old")
    calls = {"n": 0}

    def failing(real):
        def call(*args, **kwargs):
            if calls["n"] == fail_at:
                raise OSError("connection lost")
            calls["n"] += 1
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("put_file", "pipe_file"):
            patch.setattr(one.fs, name, failing(getattr(one.fs, name)))
        try:
            _commit(one, text="new", replace=True)
        except OSError:
            expected = {"old"}
        else:
            expected = {"new"}
            assert fail_at >= 4  # two files, the earlier marker, the marker
    assert {_text(two.lookup("sid-1")), _text(one.lookup("sid-1"))} == expected
    assert one._names(_remote(one, "corrupt")) == []


def test_an_upload_on_its_way_is_left_alone_and_one_that_was_cut_off_long_ago_is_removed(machines):
    one, _ = machines
    place = _remote(one, "objects", "sid-1")
    for began in (int(time.time()), int(time.time() - CUT_OFF_S) - 5):
        one.fs.pipe_file(f"{place}/{began:010d}-abc/b.bin", b"x")
    _commit(one)
    names = one._names(place)
    assert len(names) == 2
    assert all(int(name[:10]) > time.time() - CUT_OFF_S for name in names)


@pytest.mark.parametrize("damage", ["flip", "delete", "marker", "escape"])
def test_damaged_objects_are_set_aside_and_made_again(machines, damage):
    one, two = machines
    _commit(one)
    marker = json.loads(one.fs.cat_file(_remote(one, "objects", "sid-1.json")))
    place = _remote(one, "objects", "sid-1", marker["upload"], "b.bin")
    if damage == "flip":
        one.fs.pipe_file(place, bytes(256))
    elif damage == "delete":
        one.fs.rm(place)
    elif damage == "marker":
        one.fs.pipe_file(_remote(one, "objects", "sid-1.json"), b"{")
    else:
        marker["manifest"]["files"]["../../evil"] = {"sha256": "", "bytes": 0}
        one.fs.pipe_file(_remote(one, "objects", "sid-1.json"), json.dumps(marker).encode())
    assert two.lookup("sid-1") is None
    assert len(one._names(_remote(one, "corrupt"))) == 1
    assert not (two.root.parent / "evil").exists()
    assert _commit(two).digest == two.lookup("sid-1").digest == one.lookup("sid-1").digest


def test_a_copy_that_was_damaged_on_this_machine_is_fetched_again(machines):
    one, _ = machines
    made = _commit(one)
    (made.path / "b.bin").write_bytes(b"tampered")
    assert one.lookup("sid-1").digest == made.digest
    assert (one.object_path("sid-1") / "b.bin").read_bytes() == bytes(range(256))


def test_a_copy_on_this_machine_goes_up_again_when_the_url_lost_it(machines):
    one, two = machines
    made = _commit(one)
    one.fs.rm(_remote(one, "objects"), recursive=True)
    assert one.lookup("sid-1").digest == made.digest
    assert two.lookup("sid-1").digest == made.digest


def test_the_model_in_service_is_the_same_from_every_machine(machines):
    one, two = machines
    keys = {"sid": _commit(one).key}
    Registry(one, "shop").promote("run-a", keys, "")
    assert Registry(two, "shop").current().run_id == "run-a"
    Registry(two, "shop").promote("run-b", {"sid": _commit(two, "sid-2", "other").key}, "")
    assert [r.run_id for r in Registry(one, "shop").history()] == ["run-a", "run-b"]
    assert Registry(one, "shop").roll_back().run_id == "run-a"
    with pytest.raises(GenrecError, match="written by another process"):
        two.write_document("service/shop/000001.json", "{}", new=True)


def test_reports_of_a_finished_run_go_up(machines):
    one, two = machines
    (one.run_path("r1") / "report.json").write_text("{}")
    (one.run_path("r1") / "notes.bin").write_text("not shown")
    one.finish_run("r1")
    assert two.list_documents("runs/r1") == ["report.json"]
    assert json.loads(two.read_document("runs/latest.json")) == {"run_id": "r1"}


def test_paths_and_file_urls_are_plain_stores(tmp_path, monkeypatch):
    assert type(open_store(str(tmp_path / "a"))) is Store
    assert open_store(f"file://{tmp_path}/b").root == tmp_path / "b"
    monkeypatch.setenv("GENREC_STAGING", str(tmp_path / "staging"))
    assert local_root("s3://bucket/x/") == local_root("s3://bucket/x")
    assert local_root("s3://bucket/x").parent == tmp_path / "staging"
    assert local_root("s3://bucket/x") != local_root("s3://bucket/y")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x", "ftp:// does not write files whole"),
        ("s3://key:secret@bucket/x", "credentials in it; give them in the environment"),
    ],
)
def test_a_url_that_cannot_be_a_store_is_refused_and_no_secret_repeated(url, message):
    with pytest.raises(ConfigError, match=message) as refused:
        open_store(url)
    assert "secret@" not in str(refused.value)
