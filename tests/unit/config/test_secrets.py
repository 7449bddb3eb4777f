"""A secret in any place of a YAML file or of `--set` is refused, by the name of the setting or its place alone."""

import pytest

from genrec.config.load import load_config
from genrec.errors import ConfigError

CANARY = "hf_canaryCANARYcanary0123456789"
VARIABLE = "canary-of-a-variable"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("some_password", VARIABLE)


def _refusal(files, overrides):
    with pytest.raises(ConfigError) as refused:
        load_config(files, overrides)
    assert "canary" not in str(refused.value).lower()
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return str(refused.value)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (f"HF_TOKEN={CANARY}", "HF_TOKEN: holds a secret"),
        ("HF_TOKEN=canary", "HF_TOKEN: holds a secret"),
        ("embed.options.MyApiKey=canary", "embed.options.MyApiKey: holds a secret"),
        ("data.options={user_id: user, Secret: canary}", "data.options.Secret: holds a secret"),
        ("rl.rewards=[{name: exact_hit, options: {token: canary}}]", "rl.rewards.options.token: holds a secret"),
        (f"base.model={CANARY}", "base.model: holds a secret"),
        (f"rl.rewards=[{CANARY}]", "rl.rewards: holds a secret"),
        ("name=aB3dE5gH7canaryK9mN1pQ3", "name: holds a secret"),
        (f"name={VARIABLE}", "name: holds a secret"),
        ("store=s3://someone:canary@bucket/x", "store: holds a secret"),
        ("data.path=https://host/x?X-Amz-Signature=canary", "data.path: holds a secret"),
        (f"{CANARY}=1", "***: holds a secret"),
        ("sft.epohs=canary", "--set sft.epohs: sft.epohs: unknown setting; did you mean epochs?"),
        ("sft.epochs=canary", "--set sft.epochs: sft.epochs: .* (got text)"),
        ("sft.epochs=[canary]", "--set sft.epochs: sft.epochs: .* (got a list)"),
        ("sid.method=canary", "--set sid.method: sid.method: there is none of that name; known: "),
        ("preset=canary", "--set preset: preset: .* (got text)"),
        (
            "name=canary canary!",
            "--set name: name: Value error, 1 to 60 letters, digits and the signs . _ - are meant (got text)",
        ),
        ("sft.epochs=[canary", "--set sft.epochs: the value is not YAML; quote it"),
        ("canary", "--set, number 1: write section.setting=value"),
        (CANARY, "--set, number 1: write section.setting=value"),
        ("=canary", "--set, number 1: write section.setting=value"),
        ("can ary!=3", "--set, number 1: write section.setting=value"),
    ],
)
def test_set_is_refused_by_the_name_of_the_setting_and_never_repeated(override, says):
    beginning, _, end = says.partition(".* ")
    refusal = _refusal([], [override])
    assert refusal.startswith(beginning)
    assert end in refusal
    assert "^" not in refusal, "a regular expression"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"HF_TOKEN: {CANARY}\n", "HF_TOKEN: holds a secret"),
        ("data: {path: x, options: {db_password: canary}}\n", "data.options.db_password: holds a secret"),
        (f"evaluate: {{baselines: [popularity, {CANARY}]}}\n", "evaluate.baselines: holds a secret"),
        (f"{CANARY}: 3\n", "***: holds a secret"),
        ("sft: {epochs: canary}\n", "sft.epochs: "),
        ("sft: canary\n", "sft: "),
        ("canary\n", "expected sections like `sft:`, got str"),
        ("name: *canary\n", ":1: not valid YAML: found undefined alias '...'"),
        ("name: !canary x\n", ":1: not valid YAML: could not determine a constructor for the tag '...'"),
        ("name: 'canary\n", ":2: not valid YAML: found unexpected end of stream"),
    ],
)
def test_a_yaml_file_is_refused_by_place_and_never_repeated(tmp_path, text, says):
    file = tmp_path / "a.yaml"
    file.write_text(text)
    assert says in _refusal([file], [])


def test_settings_that_only_sound_like_secrets_are_taken():
    data = ["data.source=table", "data.path=/data/authors/key-2026"]
    config = load_config([], ["sid.deduplicate=extra_token", "sft.alignment.max_text_tokens=9", *data])
    assert (config.sid.deduplicate, config.sft.alignment.max_text_tokens) == ("extra_token", 9)
