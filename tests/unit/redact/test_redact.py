"""Secrets of the environment and of URLs are hidden in text, errors, log lines, and refused in configs."""

import io
import logging
import traceback

import pytest

from genrec.config.load import load_config
from genrec.errors import ConfigError, DataError, GenrecError
from genrec.redact import redact, without_secrets
from tests.support.secret_samples import TOKENS

TOKEN = "hf_canary-of-a-unit-test"
URL = "s3://user:canary-in-a-url@bucket/x"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "genrec:canary-password")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "keys/ray-token")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"401 for {TOKEN}!", "401 for ***!"),
        ("password canary-password", "password ***"),
        (f"cannot read {URL}", "cannot read s3://***@bucket/x"),
        ("https://h/x?X-Amz-Signature=abc&part=1", "https://h/x?X-Amz-Signature=***&part=1"),
        ("a token of keys/ray-token is false", "a token of keys/ray-token is false"),
        ("mail a@b, path /x/y@z, s3://bucket/a@b", "mail a@b, path /x/y@z, s3://bucket/a@b"),
    ],
)
def test_secrets_are_hidden_and_nothing_else_is(text, hidden):
    assert redact(text) == hidden


@without_secrets()
def _raise(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


def test_an_error_with_a_secret_leaves_without_it_and_without_its_causes():
    with pytest.raises(GenrecError, match=r"^RuntimeError: denied \*\*\*$") as raised:
        _raise(RuntimeError(f"denied {TOKEN}"))
    assert raised.value.__suppress_context__
    with pytest.raises(GenrecError, match=r"^ValueError: no luck$") as raised:
        _raise(ValueError("no luck"), OSError(URL))
    assert raised.value.__cause__ is None
    with pytest.raises(DataError, match=r"^file \*\*\*$"):
        _raise(DataError(f"file {TOKEN}"))


def test_an_error_without_a_secret_leaves_as_it_is():
    error = ValueError("plain")
    with pytest.raises(ValueError, match="plain") as raised:
        _raise(error)
    assert raised.value is error


def test_log_lines_and_their_tracebacks_hold_no_secret():
    with without_secrets():
        pass
    sink = io.StringIO()
    handler, log = logging.StreamHandler(sink), logging.getLogger("another.package")
    log.addHandler(handler)
    try:
        raise OSError(URL)
    except OSError:
        log.exception("with %s", TOKEN)
    finally:
        log.removeHandler(handler)
    assert "canary" not in sink.getvalue()
    assert "with ***" in sink.getvalue()
    assert "OSError: s3://***@bucket/x" in sink.getvalue()


@pytest.mark.parametrize("kind", TOKENS)
def test_log_lines_tracebacks_and_errors_hold_no_token_of_any_shape(kind):
    with without_secrets():
        pass
    token, sink = TOKENS[kind], io.StringIO()
    handler, log = logging.StreamHandler(sink), logging.getLogger("another.package")
    log.addHandler(handler)
    try:
        raise OSError(f"401 for {token}")
    except OSError:
        log.exception("with %s and %r", token, {"some_password": "canary"})
    finally:
        log.removeHandler(handler)
    assert token[8:] not in sink.getvalue()
    assert "canary" not in sink.getvalue()
    with pytest.raises(GenrecError) as raised:
        _raise(RuntimeError(f"no {token}"))
    assert token[8:] not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("HF_TOKEN=canary x", "HF_TOKEN=*** x"),
        ("hf_token: canary", "hf_token: ***"),
        ("{'MyApiKey': 'can ary', 'b': 1}", "{'MyApiKey': '***', 'b': 1}"),
        ('{"token":"canary"}', '{"token":"***"}'),
        ("--api-key=canary", "--api-key=***"),
        ("data.options.db_password = 'canary'", "data.options.db_password = '***'"),
        ("password: must be long enough", "password: must be long enough"),
        ("token=None, auth_token=None, password=''", "token=None, auth_token=None, password=''"),
        ("password=12345678, db_pass=a&b(c,d)", "password=***, db_pass=***)"),
        ("f(x, password=canary)", "f(x, password=***)"),
        ("google-auth==2.62.2", "google-auth==2.62.2"),
        ("HF_TOKEN: holds a secret", "HF_TOKEN: holds a secret"),
    ],
)
def test_what_is_named_like_a_secret_is_hidden_in_text(text, hidden):
    assert redact(text) == hidden


@pytest.mark.parametrize("value", [URL, TOKEN])
@pytest.mark.parametrize("setting", ["data.path", "rl.kl_coef", "evaluate.baselines"])
def test_a_config_with_a_secret_is_refused_by_the_name_of_the_setting_alone(setting, value):
    text = f"[popularity, '{value}']" if setting == "evaluate.baselines" else value
    with pytest.raises(ConfigError, match=f"^{setting}: holds a secret") as refused:
        load_config([], [f"{setting}={text}"])
    assert "canary" not in str(refused.value)
