"""One file for each day that is over; each list once, whatever was interrupted."""

from pathlib import Path

import pytest

from genrec.errors import GenrecError
from genrec.serve.experiment import Experiment, ImpressionLog
from genrec.serve.experiment.days import join_days, read_impressions
from tests.support.event_logs import T_MS, Clock

DAY_MS = 86_400_000


@pytest.fixture
def days(tmp_path):
    """Three days with three files each."""
    clock = Clock()
    with ImpressionLog(tmp_path, Experiment("e", "latest", 0.5), 3600, clock=clock) as log:
        for day in range(3):
            for n in range(3):
                log.log(f"r{day}{n}", "u", "control", ["a"])
                log.flush()
            clock.now_ms += DAY_MS
    return tmp_path


def number_of_files(folder: Path) -> list[int]:
    return [len(list(day.iterdir())) for day in sorted((folder / "impressions").iterdir())]


def test_days_that_are_over_become_one_file_and_the_newest_two_stay(days):
    before = read_impressions(days)
    join_days(days, T_MS + 2 * DAY_MS)
    assert number_of_files(days) == [1, 3, 3]
    join_days(days, T_MS + 9 * DAY_MS)
    join_days(days, T_MS + 9 * DAY_MS)
    assert number_of_files(days) == [1, 1, 1]
    assert read_impressions(days).equals(before)


def test_a_kill_while_a_day_is_joined_neither_loses_nor_doubles(days, monkeypatch):
    before = read_impressions(days)

    def killed(path, missing_ok):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            join_days(days, T_MS + 9 * DAY_MS)
    assert number_of_files(days) == [4, 3, 3]
    assert read_impressions(days).equals(before)
    join_days(days, T_MS + 9 * DAY_MS)
    assert number_of_files(days) == [1, 1, 1]
    assert read_impressions(days).equals(before)


def test_a_damaged_file_is_named_and_nothing_is_removed(days):
    file = min((days / "impressions").glob("*/*.parquet"))
    file.write_bytes(b"PAR1 not")
    for action in (read_impressions, lambda folder: join_days(folder, T_MS + 9 * DAY_MS)):
        with pytest.raises(GenrecError, match=file.name):
            action(days)
    assert number_of_files(days) == [3, 3, 3]
