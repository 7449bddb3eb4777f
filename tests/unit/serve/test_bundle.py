"""Promises of exported folders: whole or not there, checked file by file, self-contained, never executed."""

import json
import shutil

import pytest

from genrec.errors import DataError, GenrecError
from genrec.serve import bundle
from genrec.serve.new_items import NewItem
from genrec.serve.query import Query
from genrec.serve.recommender import Recommender
from tests.support import serve_tiny
from tests.support.lm_tiny import tiny_policy
from tests.support.serve_tiny import TITLES

KNOWN = ["i3", "i8"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return serve_tiny.write_files(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def exported(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "model"
    bundle.write(files, folder)
    return folder


@pytest.fixture
def copied(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "copy")


def recommended(folder) -> list:
    return Recommender.load(folder, device="cpu").recommend(KNOWN, k=5)


def test_an_exported_model_recommends_what_its_artifacts_do(files, exported):
    from genrec.serve.recommender import load_engine

    expected = load_engine(files, "cpu").answer([Query(KNOWN, k=5)])[0].items
    assert recommended(exported) == expected
    assert expected[0].title in TITLES


def test_it_loads_where_its_artifacts_are_gone_and_elsewhere(files, exported, tmp_path):
    moved = shutil.copytree(exported, tmp_path / "somewhere else")
    before = recommended(exported)
    artifacts = files.model.parent
    artifacts.rename(artifacts.with_name("gone"))
    try:
        assert recommended(moved) == before
    finally:
        artifacts.with_name("gone").rename(artifacts)


def test_the_same_model_gives_the_same_bytes(files, exported, tmp_path):
    assert bundle.write(files, tmp_path / "again") == json.loads((exported / bundle.MANIFEST).read_text())


def test_damage_to_any_file_is_named(copied):
    names = [path.relative_to(copied).as_posix() for path in sorted(copied.rglob("*")) if path.is_file()]
    assert len(names) > 12
    for name in names:
        path = copied / name
        whole = path.read_bytes()
        middle = len(whole) // 2
        for damaged in (whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], whole[:-2], b""):
            path.write_bytes(damaged)
            with pytest.raises(DataError, match=f"{name}: is (damaged|of format)"):
                bundle.read(copied)
        path.unlink()
        with pytest.raises(DataError, match=f"{name}: is missing"):
            bundle.read(copied)
        path.write_bytes(whole)
    assert bundle.read(copied).model_key == "sft-tiny"


def test_a_file_that_was_put_beside_is_refused(copied):
    (copied / "model" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(DataError, match=r"pytorch_model.bin: is no part"):
        bundle.read(copied)


def test_a_folder_with_something_else_is_left_alone(files, exported, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for force in (False, True):
        with pytest.raises(GenrecError, match=r"not empty and no exported model \(it holds thesis.txt\)"):
            bundle.write(files, tmp_path, force)
    with pytest.raises(GenrecError, match="is a file"):
        bundle.write(files, tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_older_export_is_replaced_only_when_asked_for(files, copied):
    (copied / "notes.md").write_text("old")
    with pytest.raises(GenrecError, match="--force"):
        bundle.write(files, copied)
    bundle.write(files, copied, force=True)
    assert not (copied / "notes.md").exists()
    assert [path.name for path in copied.parent.iterdir()] == ["copy"]
    assert recommended(copied)


def test_an_export_that_fails_leaves_the_older_one(files, copied, monkeypatch):
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}

    def full(*_):
        raise OSError(28, "No space left on device")

    for name in ("write", "fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(bundle.Disk, name, full)
            with pytest.raises(GenrecError, match="No space left on device"):
                bundle.write(files, copied, force=True)
        assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before
        assert [path.name for path in copied.parent.iterdir()] == ["copy"]


@pytest.mark.parametrize("mode", ["lora", "ptuning_v2"])
def test_an_adapter_has_its_base_inside(tmp_path, mode):
    policy = tiny_policy(mode=mode)
    base = tiny_policy()
    files = serve_tiny.write_files(tmp_path / "artifacts", policy)
    base.save(tmp_path / "base")
    manifest = bundle.write(serve_tiny.with_base(files, tmp_path / "base"), tmp_path / "export")
    assert manifest["base"]["folder"] == "base"
    assert (tmp_path / "export" / "base" / "model.safetensors").is_file()
    card = (tmp_path / "export" / "README.md").read_text()
    assert "PEFT adapter" in card
    assert ("`model/prefix/`" in card) == (tmp_path / "export/model/prefix").is_dir() == (mode == "ptuning_v2")
    assert len(recommended(tmp_path / "export")) == 5


def test_new_items_get_ids_from_an_exported_model(exported):
    loaded = Recommender.load(exported, device="cpu")
    catalogue = loaded.engine.catalogue.with_items([NewItem("new", "red garden lamp")], loaded.new_ids)
    grown = loaded.engine.with_catalogue(catalogue)
    assert "new" in [item.item_id for item in grown.answer([Query(KNOWN, k=40)])[0].items]


def test_the_card_says_what_the_model_is(exported):
    card = (exported / "README.md").read_text()
    for words in ("# 20261126-tiny", "Recommender.load", "sft-tiny", "`lsa`", "whole Hugging Face model folder"):
        assert words in card
