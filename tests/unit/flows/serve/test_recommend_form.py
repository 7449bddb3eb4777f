"""What the forms ask for: lists for every customer by hand, and at the end of a night."""

import pytest

from flows.serve import deployments, recommend_form
from genrec.config import Config
from genrec.errors import ConfigError


def test_the_fields_that_are_filled_in_are_the_settings_and_the_run_is_called_by_its_model(monkeypatch):
    asked, made = [], []
    monkeypatch.setenv("GENREC_STORE", "the-store")
    monkeypatch.setattr(
        recommend_form, "what_is_asked", lambda *given: asked.append(given) or (Config(), {}, "model", "events")
    )
    monkeypatch.setattr(recommend_form, "recommendations", lambda *given: made.append(given))
    recommend_form.recommend.fn(
        name="shop", users="vip.csv", k=5, seen_items="keep", settings=["recommend.beam_width=30"]
    )
    recommend_form.recommend.fn(run="20260101-030000-shop", events_of="latest")
    fields = {"recommend.users": "vip.csv", "recommend.k": 5, "recommend.seen_items": "keep"}
    assert asked == [
        ("", "shop", "", "the-store", fields, ["recommend.beam_width=30"]),
        ("20260101-030000-shop", "", "latest", "the-store", {}, []),
    ]
    assert [run_id.partition("-recommend-")[2] for *_, run_id in made] == ["shop", "shop"]
    assert made[0][1:4] == ({}, "model", "events")


@pytest.mark.parametrize("field", ["users", "out", "events_of", "run"])
def test_a_field_of_the_form_takes_no_secret(field):
    with pytest.raises(ConfigError, match=field) as refused:
        recommend_form.recommend.fn(**{field: "s3://someone:canary@bucket/x"})
    assert "canary" not in str(refused.value)


def test_a_field_and_a_setting_that_say_two_things_are_refused():
    with pytest.raises(ConfigError, match=r"recommend\.k contradicts"):
        recommend_form.recommend.fn(k=5, settings=["recommend.k=6"])


@pytest.mark.parametrize("wanted", [True, False])
def test_a_night_ends_with_lists_where_its_form_says_so(monkeypatch, tmp_path, wanted):
    configs = []
    monkeypatch.setenv("GENREC_STORE", str(tmp_path))
    monkeypatch.setattr(deployments, "_run_and_publish", lambda config, *more, **named: configs.append(config))
    deployments.retrain_nightly.fn(data="demo", promote="if better", recommend=wanted)
    assert [config.service.recommend for config in configs] == [wanted]


def test_a_night_refuses_the_field_beside_the_same_setting():
    with pytest.raises(ConfigError, match=r"service\.recommend contradicts"):
        deployments.retrain_nightly.fn(data="demo", promote="no", recommend=True, settings=["service.recommend=false"])
