"""Finished lists in a folder of their user's choice."""

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
