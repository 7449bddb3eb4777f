"""Finished lists in a folder of their user's choice."""

import errno
import os

import pytest

from genrec.errors import GenrecError
from genrec.serve.batch.copies import copy_out


def _artifact(folder, *names):
    folder.mkdir()
    for name in (*names, "manifest.json"):
        (folder / name).write_text(f"{folder.name} {name}")
    return folder


def test_the_lists_take_the_place_of_those_of_before_and_nothing_of_these_is_left(tmp_path):
    out = tmp_path / "new" / "out"
    copy_out(_artifact(tmp_path / "first", "recommendations-00000.parquet", "recommendations-00001.parquet"), out)
    assert sorted(p.name for p in out.iterdir()) == ["recommendations-00000.parquet", "recommendations-00001.parquet"]
    copy_out(_artifact(tmp_path / "second", "recommendations-00000.parquet"), out)
    assert [p.read_text() for p in out.iterdir()] == ["second recommendations-00000.parquet"]
    assert [p.name for p in out.parent.iterdir()] == ["out"]


def test_a_folder_with_anything_else_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "diary.txt").write_text("mine")
    with pytest.raises(GenrecError, match=r"out: holds diary.txt, not recommendations; give a folder of its own"):
        copy_out(_artifact(tmp_path / "first", "recommendations-00000.parquet"), tmp_path / "out")
    assert (tmp_path / "out" / "diary.txt").read_text() == "mine"
    with pytest.raises(GenrecError, match="holds a file"):
        copy_out(tmp_path / "first", tmp_path / "out" / "diary.txt")


@pytest.fixture(params=["a mount", "a mount of the same disk", "of an image"])
def mounted(request, tmp_path, monkeypatch):
    """A folder that cannot be renamed, as a container has them."""
    out, rename = tmp_path / "mounted" / "out", os.rename
    out.mkdir(parents=True)

    def refuse(source, target):
        if source == out:
            number = errno.EXDEV if request.param == "of an image" else errno.EBUSY
            raise OSError(number, os.strerror(number))
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    if request.param == "a mount":
        monkeypatch.setattr(os.path, "ismount", lambda path: path == out)
        (out / "lost+found").mkdir()
    return out


def test_lists_are_copied_into_a_folder_that_cannot_be_renamed(tmp_path, mounted):
    names = ["recommendations-00000.parquet", "recommendations-00001.parquet"]
    copy_out(_artifact(tmp_path / "first", *names), mounted)
    assert sorted(p.name for p in mounted.iterdir() if p.is_file()) == names
    (mounted / f".{names[1]}.copying").write_text("of a copy that was cut off")
    copy_out(_artifact(tmp_path / "second", names[0]), mounted)
    assert [p.read_text() for p in mounted.iterdir() if p.is_file()] == [f"second {names[0]}"]
    assert [p.name for p in mounted.parent.iterdir()] == ["out"]
    (mounted / "diary.txt").write_text("mine")
    with pytest.raises(GenrecError, match=r"holds diary.txt"):
        copy_out(tmp_path / "first", mounted)


def test_a_copy_that_fails_leaves_the_lists_of_before(tmp_path, mounted, monkeypatch):
    name = "recommendations-00000.parquet"
    copy_out(_artifact(tmp_path / "first", name), mounted)

    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        copy_out(_artifact(tmp_path / "second", name), mounted)
    assert (mounted / name).read_text() == f"first {name}"
