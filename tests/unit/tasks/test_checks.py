"""What a run needs from outside is checked in one line, before a server is started."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from genrec.config.load import load_config
from genrec.errors import GenrecError
from genrec.store.local import Store
from tasks import checks
from tasks.checks import check_models, check_outside


def _check(tmp_path, *overrides):
    load_config([], [f"store={tmp_path / 'store'}", *overrides], early=check_outside)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.source=table", "data.path=HERE/none"], "data.path .*none, which is not a folder"),
        (["data.source=table", "data.path=HERE"], "no interactions.parquet .* it holds "),
        (["data.source=table"], "data.path is not set"),
        (["data.source=amazon2023", "data.path=HERE/none"], "no folder or file .*none"),
        (["base.model=HERE/none"], "base.model: .*none: no such model folder"),
        (["base.model=./none"], "base.model: ./none: no such model folder"),
        (["base.model=HERE"], "base.model: .* holds no config.json"),
        (["embed.method=transformer", "embed.options.model=HERE/none"], "embed.options.model: .*no such model folder"),
        (["embed.method=ready", "embed.options.path=HERE/none.parquet"], "embed.options.path: .*none.parquet.*no such"),
        (["store=HERE/file/store"], "store .*file/store: cannot be written"),
    ],
)
def test_what_is_missing_is_named_with_its_setting(tmp_path, overrides, message):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GenrecError, match=message) as caught:
        _check(tmp_path, *(o.replace("HERE", str(tmp_path)) for o in overrides))
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    (tmp_path / "reviews.jsonl").write_text("{}\n")

    opened = Path.open

    def refused(path, *arguments, **options):  # root, who may run the tests, may read everything
        if path.name == "reviews.jsonl":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(GenrecError, match=r"data.path: .*reviews.jsonl cannot be read \(Permission denied\)"):
        _check(tmp_path, "data.source=amazon2023", f"data.path={tmp_path}")


def test_what_is_there_passes(tmp_path):
    (tmp_path / "reviews.jsonl").write_text("{}\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    _check(tmp_path, "data.source=amazon2023", f"data.path={tmp_path}", f"base.model={tmp_path / 'model'}")


@pytest.fixture
def unreachable(monkeypatch):
    """A hub that has nothing and does not answer; the names it was asked for."""
    asked = []

    def refuse(setting, name, revision):
        asked.append(name)
        raise GenrecError(f"{setting}: {name} cannot be reached")

    monkeypatch.setattr(checks, "check_hub_model", refuse)
    return asked


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["base.model=owner/name"], "base.model: owner/name"),
        (["embed.method=transformer", "embed.options.model=owner/name"], "embed.options.model: owner/name"),
    ],
)
def test_a_hub_model_that_cannot_be_reached_is_found_at_once(tmp_path, unreachable, overrides, message):
    with pytest.raises(GenrecError, match=message):
        _check(tmp_path, *overrides)
    assert unreachable == ["owner/name"]


def test_the_model_that_is_a_default_is_checked_too(tmp_path, unreachable):
    config = load_config([], [f"store={tmp_path / 'store'}", "embed.method=transformer"], early=check_outside)
    with pytest.raises(GenrecError, match="model: Qwen/"):
        check_models(config)


@pytest.mark.parametrize("stage", ["base", "embed"])
def test_a_run_that_may_find_the_stage_in_the_store_needs_no_hub(tmp_path, unreachable, stage):
    model = {"hub": "owner/name", "revision": None}
    store = Store(tmp_path / "store")
    with store.scratch() as out:
        (out / "a").write_text("x")
        reads = {"model": model} if stage == "base" else {"method": "transformer", "options": {"model": model}}
        store.commit(f"{stage}-1", stage, out, version=1, config_slice=reads, inputs={}, summary={}, seconds=1)
    overrides = ["base.model="] if stage == "base" else ["embed.method=transformer", "embed.options.model="]
    _check(tmp_path, *overrides[:-1], f"{overrides[-1]}owner/name")
    with pytest.raises(GenrecError, match="other/name"):
        _check(tmp_path, *overrides[:-1], f"{overrides[-1]}other/name")


def test_workers_of_a_cluster_find_hub_models_themselves(tmp_path, unreachable, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "ray://elsewhere:10001")
    _check(tmp_path, "base.model=owner/name")


@pytest.fixture
def as_another_user():
    """A store's folder that this test, which root may run, cannot write in."""
    folder = Path(tempfile.mkdtemp(prefix="genrec-test-"))  # the folders of pytest are closed to other users
    Store(folder / "store")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield folder
    if before == 0:
        os.seteuid(0)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_store_whose_folders_are_there_but_cannot_be_written_is_named(as_another_user):
    with pytest.raises(GenrecError, match=r"store .*: cannot be written \(Permission denied\); choose another --store"):
        _check(as_another_user)


def test_a_run_that_does_not_come_from_the_command_line_is_checked_too(tmp_path, unreachable):
    from flows.retrain import pipeline

    config = load_config([], [f"store={tmp_path / 'store'}", "base.model=owner/name"])
    with pytest.raises(GenrecError, match="owner/name cannot be reached"):
        pipeline(config, "run")
    assert not any((tmp_path / "store" / "objects").iterdir())
