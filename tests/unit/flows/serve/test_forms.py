"""What the server refuses in the forms, by the JSON schemas that Prefect makes of them: before anything is stored."""

import json
import re
import shutil
import subprocess

import jsonschema
import pytest
from prefect.utilities.schema_tools.validation import ValidationError, is_valid_schema, validate

from flows.serve import deployments
from flows.serve.patterns import WITHOUT_SECRETS, setting_names
from tests.support.secret_samples import TOKENS
from tests.support.settings import settings_with_defaults

FORMS = [deployments.retrain, deployments.compare_recipes, deployments.evaluate_only, deployments.embed_only]
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
    return json.loads(json.dumps(form.parameters.model_dump()))


def _parameters(field, value):
    return {field: [value] if field == "settings" else value}


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_the_server_refuses_secrets_and_unknown_settings_without_repeating_them(form):
    schema = _schema(form)
    is_valid_schema(schema)
    for field, value in REFUSED:
        with pytest.raises(ValidationError) as refused:
            validate(_parameters(field, value), schema, raise_on_error=True, ignore_required=True)
        message = str(refused.value)
        assert field in message, value
        assert message.endswith("was expected")
        assert value not in message
        assert "canary" not in message
        assert "(?" not in message
        if field == "settings":
            assert "write section.setting=value" in message


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_the_server_takes_settings(form):
    for field, value in TAKEN:
        validate(_parameters(field, value), _schema(form), raise_on_error=True, ignore_required=True)


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
