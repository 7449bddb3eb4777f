"""What a run needs from outside is checked in one line, before a server is started."""

from pathlib import Path

import pytest

from genrec.config.load import load_config
from genrec.errors import GenrecError
from tasks.checks import check_outside


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
    _check(tmp_path, "base.model=owner/name")
