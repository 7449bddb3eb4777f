"""Reports behind the login of the server, and nothing else of a store."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from flows.serve.report_pages import report_routes

AUTH = ("genrec", "canary:with:colons")


@pytest.fixture
def client(tmp_path):
    run = tmp_path / "runs" / "r1"
    run.mkdir(parents=True)
    for name in ("report.html", "comparison.json", "plot-loss.svg", "notes.txt"):
        (run / name).write_text(name)
    (tmp_path / "report.html").write_text("outside")
    (run / "report.json").symlink_to(tmp_path / "report.html")
    (run.parent / "latest").symlink_to(run)
    (run.parent / "elsewhere").symlink_to(tmp_path)
    return TestClient(Starlette(routes=report_routes(tmp_path / "runs", ":".join(AUTH))))


@pytest.mark.parametrize("path", ["r1/report.html", "r1/comparison.json", "r1/plot-loss.svg", "latest/report.html"])
def test_reports_comparisons_and_plots_are_shown_and_run_no_script(client, path):
    shown = client.get(f"/reports/{path}", auth=AUTH)
    assert shown.status_code == client.head(f"/reports/{path}", auth=AUTH).status_code == 200
    assert shown.text == path.partition("/")[2]
    assert shown.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert shown.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/r1", "/r1/", "/r1/notes.txt", "/r1/report.json", "/elsewhere/report.html", "/nosuch/report.html",
        "/%2e%2e/report.html", "/r1/%2e%2e/%2e%2e/report.html", "/r1%2f..%2f../report.html", "//report.html",
        "/r1/report.html/", "/%00/report.html",
    ],
)  # fmt: skip
def test_nothing_else_is_there(client, path):
    assert client.get(f"/reports{path}", auth=AUTH).status_code == 404


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Basic", "Basic !", "Basic Z2VucmVjOmd1ZXNz", "Bearer canary:with:colons", "Basic canary:with:colons"],
)
@pytest.mark.parametrize("path", ["/r1/report.html", "/r1/notes.txt", ""])
def test_without_the_password_a_browser_is_asked_for_it_whatever_the_path(client, path, authorization):
    refused = client.get(f"/reports{path}", headers={"Authorization": authorization} if authorization else {})
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert "canary" not in refused.text


def test_reports_are_read_only(client):
    assert client.post("/reports/r1/report.html", auth=AUTH).status_code == 405
