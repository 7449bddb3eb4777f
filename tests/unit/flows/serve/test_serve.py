"""Parts of the operating side on their own: password, recipes, forms, report pages."""

import inspect
import urllib.error
import urllib.request

import pytest

from flows import recipes
from flows.serve.credentials import auth_string, password_file
from flows.serve.forms import AS_IN_PRESET, CONF, PRESETS, settings_of
from flows.serve.report_pages import report_pages
from flows.serve.server import only_one, served
from genrec.errors import GenrecError


def test_a_password_is_made_once_and_read_again(tmp_path):
    made, new = auth_string(tmp_path / "prefect")
    assert new
    assert auth_string(tmp_path / "prefect") == (made, False)
    assert auth_string(tmp_path / "other")[0] != made


def test_a_password_that_others_can_read_is_refused(tmp_path):
    auth_string(tmp_path)
    password_file(tmp_path).chmod(0o644)
    with pytest.raises(GenrecError, match="others can read the password"):
        auth_string(tmp_path)


def test_one_serve_a_store_and_others_find_it(tmp_path):
    assert served(tmp_path) is None
    with only_one(tmp_path, "http://127.0.0.1:1"):
        assert served(tmp_path) == "http://127.0.0.1:1"
        with pytest.raises(GenrecError, match="served already: http"), only_one(tmp_path, "x"):
            pass
    assert served(tmp_path) is None


@pytest.mark.parametrize("recipe", recipes.names())
@pytest.mark.parametrize("preset", PRESETS)
def test_every_recipe_fits_every_preset_and_explicit_settings_win(preset, recipe):
    config = recipes.apply(recipe, [CONF / f"{preset}.yaml"], ["rl.num_steps=3"])
    assert config.rl.num_steps == 3
    assert recipe in recipes.IN_WORDS


def test_every_preset_is_a_file_and_every_config_that_stands_alone_is_a_preset():
    assert {p.stem for p in CONF.glob("*.yaml")} - set(PRESETS) <= {"a100", "cpu", "generative"}
    assert all((CONF / f"{preset}.yaml").is_file() for preset in PRESETS)


def test_only_fields_that_were_filled_in_become_settings():
    assert settings_of(seed=0, data__path="", data__source=AS_IN_PRESET, sft__epochs=None, a__b="x y") == [
        "seed=0",
        'a.b="x y"',
    ]


def test_the_deployments_take_their_defaults_from_the_presets():
    from flows.serve import deployments

    for flow in (deployments.retrain, deployments.compare_recipes, deployments.evaluate_only, deployments.embed_only):
        assert all(p.default is not inspect.Parameter.empty for p in inspect.signature(flow.fn).parameters.values())
        assert flow.description
        assert "Args:" not in flow.description


def test_report_pages_show_reports_and_plots_and_nothing_else(tmp_path):
    run = tmp_path / "runs" / "r1"
    run.mkdir(parents=True)
    for name in ("report.html", "plot-loss.svg", "notes.txt"):
        (run / name).write_text(name)
    (tmp_path / "report.html").write_text("outside")
    (run / "report.json").symlink_to(tmp_path / "report.html")
    with report_pages(tmp_path / "runs", 0) as address:
        for name in ("report.html", "plot-loss.svg"):
            with urllib.request.urlopen(f"{address}/r1/{name}", timeout=5) as answer:
                assert answer.read().decode() == name
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        for path in ("/", "/r1/", "/r1/notes.txt", "/r1/../../report.html", "/%2e%2e/report.html", "/r1/report.json"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(address + path, timeout=5)
