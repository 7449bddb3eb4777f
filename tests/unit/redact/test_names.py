"""Names of secrets are known in any case and spelling; no setting of ours, and no name of a text token, is one."""

import pytest

from genrec.redact import holds_secret, is_secret_name
from tests.support.settings import every_setting


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "hf_token",
        "hfToken",
        "Hf-Token",
        "token",
        "TOKEN",
        "token_2",
        "access_token",
        "github_token",
        "MyApiKey",
        "API_KEY",
        "apikey",
        "OPENAI_KEY",
        "aws_secret_access_key",
        "AWS_ACCESS_KEY_ID",
        "AWSSecretAccessKey",
        "password",
        "PassWord",
        "PGPASSWORD",
        "db_pwd",
        "db_pass",
        "passphrase",
        "Authorization",
        "basic_auth",
        "auth",
        "SECRET",
        "client-secret",
        "my_credentials",
        "privateKey",
        "ssh_key",
        "key",
        "embed.options.hf_token",
    ],
)
def test_names_of_secrets_are_known_in_any_case(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "num_tokens",
        "max_new_tokens",
        "extra_token",
        "pad_token_id",
        "first_sid_token",
        "tokenizer",
        "tokenizer.path",
        "tokens",
        "token_ids",
        "max_text_tokens",
        "item_tokens",
        "subtoken",
        "author",
        "authors",
        "monkey",
        "keyword",
        "keywords",
        "num_key_value_heads",
        "cache_key",
        "key_slice",
        "primary_key",
        "passes",
        "one_pass",
        "first_pass",
        "sid.num_levels",
    ],
)
def test_names_of_text_tokens_and_lookup_keys_are_no_secrets(name):
    assert not is_secret_name(name)


def test_no_setting_is_called_like_a_secret():
    names = list(every_setting())
    assert {"sft.alignment.max_text_tokens", "sid.deduplicate", "embed.options.dim"} <= set(names)
    assert [name for name in names if is_secret_name(name)] == []


@pytest.mark.parametrize(
    ("variable", "holds"),
    [
        ("HF_TOKEN", True),
        ("hf_token", True),
        ("PGPASSWORD", True),
        ("DB_PWD", True),
        ("PWD", False),
        ("OLDPWD", False),
        ("SSH_AUTH_SOCK", False),
        ("RAY_AUTH_TOKEN_PATH", False),
        ("HOME", False),
        ("GIT_AUTHOR_NAME", False),
        ("GIT_AUTHOR_EMAIL", False),
        ("AUTHORITY", False),
        ("AUTHORIZATION", True),
        ("HTTP_AUTHORISATION", True),
        ("AUTHOR_TOKEN", True),
        ("REDISCLI_AUTH", True),
        ("BASIC_AUTHENTICATION", True),
        ("GENREC_ALERTS_URL", True),
        ("GENREC_REPORTS_URL", False),
    ],
)
def test_variables_that_hold_a_secret_are_told_from_those_that_say_where_it_is(variable, holds):
    assert holds_secret(variable) is holds
