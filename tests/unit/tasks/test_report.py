"""The report's record: what a reader is warned of, looked up for each run."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from genrec.config import DataConfig
from tasks.stages import report


@pytest.mark.parametrize("stages", [["ingest"], []])
def test_files_that_were_not_read_are_warned_of_in_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: list[str]
) -> None:
    for name in ("interactions.csv", "items.csv", "interactions_old.csv"):
        (tmp_path / name).write_text("x\n")
    records: list[dict] = []
    monkeypatch.setattr(report, "write_report", lambda record, folder: records.append(record))
    config = SimpleNamespace(
        data=DataConfig(source="table", path=str(tmp_path)), model_dump=lambda mode: {"data": {"path": str(tmp_path)}}
    )
    run = SimpleNamespace(
        run_id="r",
        started_at=0.0,
        config=config,
        store=SimpleNamespace(run_path=lambda run_id: tmp_path, finish_run=lambda run_id: None),
        records=[],
        artifacts={stage: SimpleNamespace(path=tmp_path) for stage in stages},
        promotion=None,
        warnings=["of the run"],
    )
    report._report(run)  # type: ignore[arg-type]
    left = ["not read: interactions_old.csv (parts are called interactions-... or lie in interactions/)"]
    assert records[0]["warnings"] == [*(left if stages else []), "of the run"]
