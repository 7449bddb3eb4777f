"""From settings to a service: which model, which token, which messages."""

import pytest

from genrec.config import ApiConfig
from genrec.errors import ConfigError, GenrecError
from tasks.api.opening import TOKEN, Place, resolved, source_of, token_file, token_of
from tests.support import serve_tiny


def test_the_token_is_made_once_and_only_its_owner_reads_it(tmp_path, monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    place = Place(str(tmp_path))
    token, is_new = token_of(place)
    assert (len(token) >= 32, is_new) == (True, True)
    assert token_of(place) == (token, False)
    assert token_file(place).stat().st_mode & 0o777 == 0o600
    token_file(place).chmod(0o644)
    with pytest.raises(GenrecError, match="others can read the token"):
        token_of(place)


def test_the_environment_can_give_the_token(tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN, "of-the-cluster")
    assert token_of(Place(str(tmp_path))) == ("of-the-cluster", False)
    assert not token_file(Place(str(tmp_path))).exists()


def test_a_store_without_a_model_is_refused_with_the_command_that_trains_one(tmp_path):
    for store in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(GenrecError, match=f"python -m flows run --config conf/demo.yaml --store {store}$"):
            resolved(Place(str(store)))
    assert not (tmp_path / "nowhere").exists()


def test_a_run_that_was_stopped_early_does_not_take_the_place_of_the_model_that_is_served(tmp_path):
    store = serve_tiny.write_store(tmp_path / "store", "20261126-first")
    serve_tiny.stop_early(store, "20261127-second")
    place = Place(str(store.root))
    assert resolved(place).name == "tiny"
    where = source_of(place, ApiConfig()).load().where
    assert where == "run 20261126-first, the latest with a model; nothing is in service"


def test_the_settings_bound_what_the_model_in_service_takes(tmp_path):
    store = serve_tiny.write_store(tmp_path / "store", "20261126-first")
    place = Place(str(store.root))
    loaded = source_of(place, ApiConfig(max_batch=5, max_kv_gib=0.25)).load()
    assert (loaded.engine.batch_size, loaded.engine.max_kv_gib) == (5, 0.25)
    with pytest.raises(ConfigError, match=r"api\.max_kv_gib is 1e-06, but .* search for 30 items"):
        source_of(place, ApiConfig(max_kv_gib=1e-6)).load()
