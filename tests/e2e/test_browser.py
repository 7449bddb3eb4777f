"""The Prefect UI as people use it, in a real browser: log in, fill in the form, watch, open results, retry.

Screenshots of every step go to the folder named by GENREC_SCREENSHOTS, when it is set.
"""

import json
import os
from pathlib import Path

import pytest

from tasks.stages.rl import rl
from tests.support.browser import page as browser_page
from tests.support.served import Served, tiny_settings
from tests.support.stages import ALWAYS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def ui(served, tmp_path_factory):
    """A browser that is logged in, by what its first page says."""
    with browser_page(tmp_path_factory.mktemp("profile"), served.password) as page:
        page.set_default_timeout(120_000)
        refused: list[str] = []
        page.on("response", lambda answer: refused.append(answer.url) if answer.status == 401 else None)
        page.goto(served.url)
        page.wait_for_url("**/login**")
        page.get_by_text("`python -m flows login` prints it again").wait_for()
        page.wait_for_load_state("networkidle")
        assert (page.locator(".p-toast-container > *").count(), refused) == (0, []), "a failed login before any"
        page.fill("input[type=password]", "genrec:guess")
        page.get_by_role("button", name="Login").click()
        page.get_by_text("Authentication failed").first.wait_for()
        assert "/login" in page.url, "a wrong password opened the UI"
        page.fill("input[type=password]", served.password)
        _shoot(page, "login")
        page.get_by_role("button", name="Login").click()
        page.wait_for_url("**/dashboard")
        assert not page.locator("#login-hint").is_visible()
        yield page


def _shoot(page, name: str) -> None:
    folder = os.environ.get("GENREC_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(1500)
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def _open_form(page, served: Served) -> None:
    page.goto(f"{served.url}/deployments")
    page.get_by_role("link", name="retrain", exact=True).last.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    page.get_by_text("Validate parameters").wait_for()


def _runs(served: Served) -> list[str]:
    return [r["id"] for r in served.call("POST", "/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC"})]


def _see(page, served: Served, run: str, state: str) -> None:
    page.goto(f"{served.url}/runs/flow-run/{run}")
    page.locator(".p-page-heading, header, .flow-run-details, body").first.wait_for()
    page.get_by_text(state, exact=True).first.wait_for(timeout=600_000)


def test_a_wrong_password_is_refused(served, tmp_path):
    with_guess = served.call("GET", "/admin/settings", password="genrec:guess")
    assert with_guess[0] == 401


def test_the_form_refuses_a_wrong_value_and_starts_no_run(ui, served):
    before = _runs(served)
    _open_form(ui, served)
    ui.locator("input[type=number]").first.fill("-5")
    ui.get_by_role("button", name="Submit").click()
    ui.get_by_text("less than the minimum").first.wait_for()
    _shoot(ui, "refused")
    _open_form(ui, served)
    ui.locator("textarea").first.fill("my-shop/")  # data_path, beside the demo
    ui.get_by_role("button", name="Submit").click()
    ui.get_by_text("data is demo").first.wait_for()
    _shoot(ui, "contradiction")
    assert _runs(served) == before


def test_retrain_is_started_through_its_form_and_its_results_are_opened(ui, served):
    before = set(_runs(served))
    _open_form(ui, served)
    ui.get_by_text("until (Optional)").first.scroll_into_view_if_needed()
    _shoot(ui, "form")
    for i, setting in enumerate([*tiny_settings(), "rl.kl_coef=0.7"]):
        ui.get_by_role("button", name="Add item").click()
        ui.locator("textarea").nth(i + 2).fill(setting)  # the first two are data_path and events
    _shoot(ui, "filled")
    ui.get_by_role("button", name="Submit").click()
    served.wait(lambda: set(_runs(served)) - before, "the run to be made")
    (run,) = set(_runs(served)) - before
    _see(ui, served, run, "Completed")
    _shoot(ui, "run")
    assert served.tasks(run)["sft"] == "Cached"
    assert served.tasks(run)["rl"] == "Completed"

    ui.goto(f"{served.url}/artifacts/key/demo-results")
    ui.get_by_text("demo-results").first.wait_for()
    ui.goto(f"{served.url}/artifacts/artifact/{_artifact(served, run, 'demo-results')}")
    ui.get_by_text("popularity").first.wait_for()
    _shoot(ui, "results")
    ui.goto(f"{served.url}/artifacts/artifact/{_artifact(served, run, 'demo-report')}")
    ui.get_by_text("same config and inputs").first.wait_for()
    _shoot(ui, "report")
    plot = ui.get_by_alt_text("NDCG@10", exact=True)
    plot.scroll_into_view_if_needed()
    ui.wait_for_function("plot => plot.naturalWidth > 100", arg=plot.element_handle())
    _shoot(ui, "plot")
    with ui.context.expect_page() as opened:
        ui.get_by_role("link", name="Open the whole report").click()
    report = opened.value
    report.get_by_text("popularity").first.wait_for()
    assert report.url.startswith(f"{served.url}/reports/"), "the link leads to another port"
    _shoot(report, "followed")
    report.set_viewport_size({"width": 390, "height": 844})
    assert report.evaluate("document.documentElement.scrollWidth") == 390, "the page is wider than a phone"
    _shoot(report, "phone")
    report.close()


def test_runs_are_listed_by_data_recipe_size_and_seed_and_by_what_their_user_typed(ui, served):
    typed = served.start(named="Spring sale, second try")
    assert served.finished(typed) == "Completed"
    ui.goto(f"{served.url}/runs")
    ui.get_by_text("Spring sale, second try").first.wait_for()
    ui.get_by_text("demo-default-full-seed0").first.wait_for()
    ui.get_by_text("data:demo").first.wait_for()
    _shoot(ui, "runs")


def test_the_nightly_has_its_data_chosen_and_is_switched_on_on_its_page(ui, served):
    nightly = served.deployment("retrain-nightly")
    ui.goto(f"{served.url}/deployments/deployment/{nightly['id']}")
    ui.get_by_text("retrain-nightly").first.wait_for()
    _shoot(ui, "nightly")
    ui.get_by_role("button", name="Run", exact=True).click()
    ui.get_by_text("Custom run").click()
    ui.get_by_text("Validate parameters").wait_for()
    before = _runs(served)
    ui.get_by_role("button", name="Submit").click()
    ui.get_by_text("required").first.wait_for()
    _shoot(ui, "nightly-not-chosen")
    assert _runs(served) == before

    ui.goto(f"{served.url}/deployments/deployment/{nightly['id']}")
    (schedule,) = nightly["schedules"]
    switch = ui.locator(
        ".deployment-schedules [role=switch], .deployment-schedule-card input, .p-toggle__control"
    ).first
    switch.click()
    served.wait(lambda: served.deployment("retrain-nightly")["schedules"][0]["active"], "the schedule to be on")
    _shoot(ui, "nightly-on")
    served.call("PATCH", f"/deployments/{nightly['id']}/schedules/{schedule['id']}", {"active": False})


def test_a_failed_run_is_retried_by_its_button_and_the_stages_before_are_cached(ui, served):
    keys = {s["name"]: s["key"] for s in _latest_stages(served.store)}
    obstacle = served.obstruct(rl, ["rl.kl_coef=0.8"], keys)
    run = served.start(settings=["rl.kl_coef=0.8"])
    _see(ui, served, run, "Failed")
    _shoot(ui, "failed")
    obstacle.unlink()
    ui.get_by_role("button", name="Retry").first.click()
    ui.get_by_role("dialog").get_by_role("button", name="Retry").click()
    served.wait_for_attempt(run, 2)
    _see(ui, served, run, "Completed")
    ui.get_by_text("Task Runs", exact=True).first.click()
    ui.get_by_text("Cached", exact=True).first.wait_for()
    _shoot(ui, "retried")
    status = served.tasks(run)
    assert {s for s in status if status[s] == "Cached"} == set(ALWAYS) - {"rl", "evaluate"}
    assert {status["rl"], status["evaluate"]} == {"Completed"}


def _artifact(served: Served, run: str, key: str) -> str:
    body = {"artifacts": {"flow_run_id": {"any_": [run]}, "key": {"any_": [key]}}}
    return served.call("POST", "/artifacts/filter", body)[0]["id"]


def _latest_stages(store: Path) -> list[dict]:
    return json.loads((store / "runs" / "latest" / "report.json").read_text())["stages"]
