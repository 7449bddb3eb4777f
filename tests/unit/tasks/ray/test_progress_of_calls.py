"""Progress of tasks side by side: of known sizes, those that have not begun count as what they are."""

from pathlib import Path

import pytest

from genrec.progress import FileProgress
from tasks.ray.cluster import _following
from tasks.ray.watch import Watcher, watching


class Reports(Watcher):
    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def progress(self, stage, done, total, note, values) -> None:
        self.seen.append((done, total))


@pytest.mark.parametrize(("sizes", "expected"), [([10.0, 90.0, 900.0], (10.0, 1000.0)), (None, (10.0, 30.0))])
def test_tasks_that_have_not_begun_count_with_their_sizes(sizes, expected, tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.json" for n in range(3)]
    FileProgress(files[0])(10, 10, "bytes of a")
    reports = Reports()
    with watching(reports), _following("ingest", files, 3, sizes) as follow:
        follow(1)
    assert reports.seen == [expected]
