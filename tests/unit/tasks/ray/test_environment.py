"""Ray's sockets fit below its temporary folder, however long TMPDIR is; its token needs no home folder."""

import os
import socket
from pathlib import Path

import pytest

from genrec.config import ResourcesConfig
from genrec.errors import GenrecError
from tasks.ray.environment import _BELOW, of_workers, prepare, ray_temp_dir, short_enough


@pytest.fixture(autouse=True)
def _no_folder_named(monkeypatch):
    for name in [*os.environ]:
        if name.startswith(("TMPDIR", "RAY_")):
            monkeypatch.delenv(name)


def test_the_folder_ray_takes_is_left_where_it_is_short(monkeypatch):
    assert ray_temp_dir() is None
    monkeypatch.setenv("TMPDIR", "/scratch/job.123")
    assert ray_temp_dir() is None


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_folder_is_replaced_by_a_short_one(monkeypatch, tmp_path, name):
    monkeypatch.setenv(name, str(tmp_path / ("long" * 20)))
    assert ray_temp_dir() == "/tmp"


def test_without_a_short_folder_the_error_names_the_variable_and_the_length(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", "/" + "long" * 20)
    with pytest.raises(GenrecError, match=r"TMPDIR /longlong.*set RAY_TMPDIR to a folder of at most 3\d characters"):
        ray_temp_dir((str(tmp_path / "none"),))


@pytest.mark.parametrize("length", [30, 36, 37, 60])
def test_short_enough_is_what_the_kernel_takes(length):
    folder = "/" + "x" * (length - 1)
    address = folder + _BELOW
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(address)
        except FileNotFoundError:
            fits = True  # the folder is not there, but the name was taken
        except OSError:
            fits = False
    assert short_enough(folder) == fits
    assert not Path(folder).exists()


@pytest.fixture
def token_in(monkeypatch):
    """The token in the environment after `prepare`, with a home folder and more of the environment given."""

    def prepared(home, **more: str) -> str | None:
        with monkeypatch.context() as patched:
            patched.setattr(os, "environ", {**os.environ, "HOME": str(home), **more})
            prepare(on_this_machine=True)
            return os.environ.get("RAY_AUTH_TOKEN")

    return prepared


def test_the_token_is_kept_in_the_environment_where_no_home_can_be_written(tmp_path, token_in):
    (tmp_path / "file").touch()
    for home in ("/dev/null/nowhere", tmp_path / "file"):
        first, second = token_in(home), token_in(home)
        assert len(first) == 64
        assert first != second


def test_the_token_is_left_to_ray_where_there_is_a_home_or_another_token(tmp_path, token_in):
    assert token_in(tmp_path) is None
    assert token_in("/dev/null/x", RAY_AUTH_TOKEN="chosen") == "chosen"
    assert token_in("/dev/null/x", RAY_AUTH_TOKEN_PATH="/run/secrets/token") is None
    assert token_in("/dev/null/x", RAY_AUTH_MODE="disabled") is None


def test_no_secret_is_in_what_ray_writes_down_of_the_environment(monkeypatch):
    for name in ("HF_TOKEN", "GENREC_ALERTS_URL", "HF_ENDPOINT"):
        monkeypatch.setenv(name, "https://someone:canary-of-a-secret@example.com/hook")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    passed = of_workers(ResourcesConfig())
    assert passed["HF_HUB_OFFLINE"] == "1"
    assert not {"HF_TOKEN", "GENREC_ALERTS_URL", "HF_ENDPOINT"} & passed.keys()
    assert "canary" not in str(passed)
