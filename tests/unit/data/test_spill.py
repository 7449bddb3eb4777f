"""The folder for what does not fit into memory."""

from pathlib import Path

from genrec.data.spill import spill_folder


def test_an_attempt_leaves_the_folder_of_another_alone(tmp_path: Path) -> None:
    given_up = spill_folder(tmp_path)
    old = given_up.__enter__()
    with spill_folder(tmp_path) as new:
        (new / "run").touch()
        assert old.is_dir()
        given_up.__exit__(None, None, None)
        assert [path.name for path in new.iterdir()] == ["run"]
    assert not list(tmp_path.iterdir())
