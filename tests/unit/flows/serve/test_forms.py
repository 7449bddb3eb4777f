"""What the server refuses in the forms, by the JSON schemas that Prefect makes of them: before anything is stored."""

import json
import re
import shutil
import subprocess

import jsonschema
import pytest
from prefect.utilities.schema_tools.validation import ValidationError, is_valid_schema, validate

from flows.serve import deployments
from flows.serve.form import CHOOSE
from flows.serve.patterns import WITHOUT_SECRETS, setting_names
from genrec.errors import ConfigError
from tasks.stop import Stopped
from tests.support.secret_samples import TOKENS
from tests.support.settings import settings_with_defaults

FORMS = [
    deployments.retrain,
    deployments.retrain_nightly,
    deployments.compare_recipes,
    deployments.evaluate_only,
    deployments.recommend,
    deployments.embed_only,
    deployments.experiment,
    deployments.promote_run,
    deployments.roll_back,
]
OF_DATA = [form for form in FORMS if "data_path" in form.schema.properties]
# What has no default in some forms.
CHOSEN = {"data": "my tables", "promote": "no", "run": "latest", "name": "new-loss"}
REFUSED = [
    ("settings", "HF_TOKEN=hf_canary"),
    ("settings", "hf_token=canary"),
    ("settings", "MyApiKey=canary"),
    ("settings", "AWS_SECRET_ACCESS_KEY=canary"),
    ("settings", "embed.options.Password=canary"),
    ("settings", "embed.options={hf_token: canary}"),
    ("settings", "data.options={'API-KEY': canary}"),
    ("settings", "seed=1\nHF_TOKEN=canary"),
    ("settings", "data.path=s3://someone:canary@bucket/x"),
    ("settings", "sft.epohs=canary"),
    ("settings", "canary"),
    ("settings", "=canary"),
    *[("settings", f"base.model={token}") for token in TOKENS.values()],
    *[("data_path", f"/data/{token}") for token in TOKENS.values()],
    ("data_path", "s3://someone:canary/canary@bucket/x"),
    ("data_path", "https://host/x?SIG=canary"),
]
TAKEN = [
    ("settings", "sft.epochs=3"),
    ("settings", "sft.epochs = 3"),
    ("settings", "sft={epochs: 3}"),
    ("settings", "rl.rewards=[exact_hit, {name: transitions, options: {window: 3}}]"),
    ("settings", "sid.deduplicate=extra_token"),
    ("settings", "sft.alignment.max_text_tokens=9"),
    ("settings", "base.model=Qwen/Qwen2.5-3B-Instruct"),
    ("settings", "data.options.user_id=Author"),
    ("settings", "resources.sft.num_cpus=2"),
    ("data_path", ""),
    ("data_path", "/data/authors/key-2026"),
    ("data_path", "s3://bucket/shop/a@b"),
    ("data_path", "http://host:9000/shop/a@b"),
]


def _schema(form):
    return json.loads(json.dumps(form.schema.model_dump(exclude_unset=True)))


def _parameters(form, field, value):
    return {**_chosen(form), field: [value] if field == "settings" else value}


def _chosen(form):
    fields, required = form.schema.properties, form.schema.required or []
    return {name: value for name, value in CHOSEN.items() if name in (required if name == "name" else fields)}


def _refusal(form, parameters):
    """What the server answers, and what the run says of parameters that it was started with all the same."""
    with pytest.raises(ValidationError) as by_server:
        validate(parameters, _schema(form), raise_on_error=True)
    with pytest.raises(ConfigError) as by_run:
        form.checked(parameters)
    assert len(str(by_run.value).splitlines()) == 1
    return str(by_server.value), str(by_run.value)


@pytest.mark.parametrize("form", OF_DATA, ids=lambda f: f.fn.__name__)
def test_the_server_refuses_secrets_and_unknown_settings_without_repeating_them(form):
    schema = _schema(form)
    is_valid_schema(schema)
    for field, value in REFUSED:
        with pytest.raises(ValidationError) as refused:
            validate(_parameters(form, field, value), schema, raise_on_error=True)
        message = str(refused.value)
        assert field in message, value
        assert message.endswith("was expected")
        assert value not in message
        assert "canary" not in message
        assert "(?" not in message
        if field == "settings":
            assert "write section.setting=value" in message


@pytest.mark.parametrize("form", OF_DATA, ids=lambda f: f.fn.__name__)
def test_the_server_and_the_run_take_settings(form):
    for field, value in TAKEN:
        validate(_parameters(form, field, value), _schema(form), raise_on_error=True)
        assert form.checked(_parameters(form, field, value))


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.fn.__name__)
def test_a_field_is_explained_in_one_or_two_lines_and_the_form_in_a_sentence(form):
    for name, field in form.schema.properties.items():
        assert 20 < len(field["description"]) < 190, name  # of 95 letters
    assert "Args:" not in form.description


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.fn.__name__)
def test_a_field_that_the_form_does_not_have_is_refused(form):
    by_server, by_run = _refusal(form, {**_chosen(form), "HF_TOKEN": "canary"})
    for said in (by_server, by_run):
        assert "HF_TOKEN" in said
        assert "canary" not in said
    assert "the fields are" in by_run


@pytest.mark.parametrize(("form", "old"), [(form, old) for form in FORMS for old in form.gone])
def test_a_field_of_before_is_refused_with_what_took_its_place(form, old):
    for said in _refusal(form, {**_chosen(form), old: "canary"}):
        assert form.gone[old] in said
        assert "canary" not in said


@pytest.mark.parametrize("form", OF_DATA, ids=lambda f: f.fn.__name__)
def test_a_path_that_the_demo_does_not_read_is_refused_and_both_fields_are_named(form):
    for said in _refusal(form, {**_parameters(form, "data_path", "shop/"), "data": "demo"}):
        assert "data_path" in said
        assert "data is demo" in said
        assert "shop/" not in said
    for data in ("my tables", "Amazon 2023"):
        assert form.checked({**_parameters(form, "data_path", "shop/"), "data": data})
    validate({"data_path": "shop/"}, _schema(form), raise_on_error=True, ignore_required=True)  # on its own


def test_promotion_is_off_unless_chosen_and_refused_where_the_run_ends_before_it():
    assert deployments.retrain.schema.properties["promote"]["default"] == "no"
    for said in _refusal(deployments.retrain, {"promote": "if better", "until": "sid"}):
        assert "promote" in said
        assert "until" in said
    assert deployments.retrain.checked({"promote": "if better"})


def test_the_nightly_starts_nothing_before_data_and_promotion_are_chosen():
    nightly = deployments.retrain_nightly
    assert not {"default"} & (nightly.schema.properties["data"].keys() | nightly.schema.properties["promote"].keys())
    for chosen in ({}, {"data": "my tables"}, {"promote": "no"}):
        by_server, by_run = _refusal(nightly, chosen)
        assert "is a required property" in by_server
        assert "not chosen; set it in the form, or in the parameters of the schedule" in by_run
    assert nightly.checked(_chosen(nightly))
    (deployment,) = (d for d in deployments.deployments() if d.name == "retrain-nightly")
    assert [(s.active, s.slug) for s in deployment.schedules] == [(False, deployments.NIGHTLY)]
    assert deployments.NIGHTLY in deployment.description


def test_a_nightly_that_is_stopped_is_cancelled_as_any_run_is(monkeypatch):
    def stopped(*given):
        raise Stopped("Ctrl-C")

    monkeypatch.setattr(deployments, "_config", stopped)
    assert deployments.retrain_nightly.fn(data="demo", promote="no").is_cancelled()


def test_the_nightly_reads_the_event_log_that_its_field_names(monkeypatch):
    asked = []

    def noted(data, recipe, fields, settings):
        asked.append(fields)
        raise Stopped("enough")

    monkeypatch.setattr(deployments, "_config", noted)
    for events in ("", "postgresql://host/shop"):
        deployments.retrain_nightly.fn(data="my tables", promote="no", events=events)
    assert ["data.events" in fields for fields in asked] == [False, True]
    assert asked[1]["data.events"] == "postgresql://host/shop"
    for said in _refusal(deployments.retrain_nightly, {**_chosen(deployments.retrain_nightly), "events": "postgresql://me:canary-3fA9x@host/shop"}):  # fmt: skip
        assert "canary" not in said


def test_a_word_that_stands_for_no_choice_is_a_value_of_any_other_field():
    form = deployments.retrain
    assert form.checked({"data": "my tables", "data_path": CHOOSE})["data_path"] == CHOOSE
    assert "data_path" in _refusal(form, {"data": "demo", "data_path": CHOOSE})[1]


def test_a_model_is_named_by_its_run_or_as_the_one_in_service_not_both():
    for run in ("", "latest", "20260101-030000-shop-1a2b3c"):
        assert deployments.evaluate_only.checked({"run": run})["run"] == run
    assert deployments.evaluate_only.checked({"name": "shop"})
    for said in _refusal(deployments.evaluate_only, {"run": "latest", "name": "shop"}):
        assert "name" in said
        assert "run names the model" in said
    for run in ("", "../elsewhere", "a b"):
        assert "the folder name of a finished run" in _refusal(deployments.promote_run, {"run": run})[1]


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("sft.epochs=canary", "a whole number"),
        ("sft.epochs=1.5", "a whole number"),
        ("sft.learning_rate=canary", "a number"),
        ("sid.refit=canary", "true or false"),
        ("rl.kl_target=canary", "or null"),
        ("prepare.split=canary", "leave_one_out or global_time"),
    ],
)
def test_a_value_of_another_type_is_refused_in_words(setting, meant):
    for said in _refusal(deployments.retrain, {"settings": [setting]}):
        assert meant in said
        assert "settings[0]" in said
        assert "canary" not in said


def test_the_server_takes_every_setting_by_its_name():
    item = _schema(deployments.retrain)["properties"]["settings"]["items"]
    lists = ("rl.rewards.", "evaluate.baselines.")  # settings of the members of a list, which is written as a whole
    lines = [f"{n}={json.dumps(v, default=str)}" for n, v in settings_with_defaults() if not n.startswith(lists)]
    assert len(lines) > 100
    refused = [line for line in lines if not jsonschema.Draft202012Validator(item).is_valid(line)]
    assert refused == []


def test_browsers_read_the_patterns_as_python_does():
    node = shutil.which("node")
    if node is None:
        pytest.skip("no JavaScript engine here")
    patterns = [f"^{WITHOUT_SECRETS}{setting_names()} *=", f"^{WITHOUT_SECRETS}"]
    values = [value for _, value in [*REFUSED, *TAKEN]]
    program = (
        "const [p, v] = JSON.parse(require('fs').readFileSync(0));"
        "console.log(JSON.stringify(['', 'u'].map(f => p.map(x => v.map(t => new RegExp(x, f).test(t))))))"
    )
    done = subprocess.run(
        [node, "-e", program], input=json.dumps([patterns, values]), capture_output=True, text=True, check=True
    )
    python = [[bool(re.search(p, v)) for v in values] for p in patterns]
    assert json.loads(done.stdout) == [python, python]
