"""Runs with the store at a URL."""

import fsspec
import pytest

from tests.e2e.conftest import run_flow, tiny_config


@pytest.mark.usefixtures("prefect_server", "ray_cluster")
def test_a_run_with_its_store_at_a_url_is_cached_on_another_machine(tmp_path, monkeypatch):
    def run(machine: str, run_id: str, until: str):
        monkeypatch.setenv("GENREC_STAGING", str(tmp_path / machine))
        return run_flow(tiny_config("memory://shop"), run_id, until=until)  # type: ignore[arg-type]

    try:
        first = run("one", "first", "prepare")
        assert [s["status"] for s in first["stages"]] == ["computed", "computed"]
        second = run("two", "second", "prepare")
        assert [s["status"] for s in second["stages"]] == ["cached", "cached"]
        assert [s["digest"] for s in second["stages"]] == [s["digest"] for s in first["stages"]]
        fs = fsspec.filesystem("memory")
        assert fs.exists("/shop/runs/first/report.html")
        assert b"second" in fs.cat("/shop/runs/latest.json")
    finally:
        fsspec.filesystem("memory").rm("/shop", recursive=True)
