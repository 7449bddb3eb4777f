"""A hub model that cannot be had is found before anything starts, with one request at most."""

import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from genrec.errors import GenrecError
from tasks import hub


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The URLs that are asked for; nothing is there, and the answers are those that a test puts into `asked.answers`."""

    class Asked(list):
        answer: Exception | None = None

    found = Asked()

    def metadata(self, *, url, timeout):
        assert timeout <= 3
        found.append(url)
        if found.answer is not None:
            raise found.answer

    monkeypatch.setattr(HfApi, "get_hf_file_metadata", metadata)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    hub._problem.cache_clear()
    yield found
    hub._problem.cache_clear()


def _put_into_cache(folder, *files):
    snapshot = folder / "models--owner--name" / "snapshots" / ("a" * 40)
    (folder / "models--owner--name" / "refs").mkdir(parents=True)
    (folder / "models--owner--name" / "refs" / "main").write_text("a" * 40)
    snapshot.mkdir(parents=True)
    for file in files:
        (snapshot / file).write_text("{}")


@pytest.mark.parametrize("weights", ["model.safetensors", "model.safetensors.index.json"])
def test_a_model_in_the_local_cache_needs_no_connection(asked, tmp_path, weights):
    _put_into_cache(tmp_path, "config.json", weights)
    asked.answer = OSError("no network")
    hub.check_hub_model("base.model", "owner/name", None)
    assert asked == []


def test_a_model_that_is_half_in_the_cache_is_asked_for_once(asked, tmp_path):
    _put_into_cache(tmp_path, "config.json")
    for _ in range(2):
        hub.check_hub_model("base.model", "owner/name", None)
    assert asked == [f"{constants.ENDPOINT}/owner/name/resolve/main/config.json"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE forbids"),
        (LocalEntryNotFoundError("x"), "cannot be reached"),
        (OSError("[Errno -2] Name or service not known"), "cannot be reached .*Name or service not known"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_an_error_with_the_way_out(asked, answer, says):
    asked.answer = answer
    with pytest.raises(GenrecError, match=rf"base.model: owner/name: .*{says}.*hf download owner/name.*folder"):
        hub.check_hub_model("base.model", "owner/name", None)


def test_another_revision_is_another_model(asked):
    hub.check_hub_model("base.model", "owner/name", "v2")
    assert asked == [f"{constants.ENDPOINT}/owner/name/resolve/v2/config.json"]


def test_a_name_that_can_be_no_hub_id_is_refused_without_a_request(asked):
    with pytest.raises(GenrecError, match="models/one/more: neither a folder nor a hub id"):
        hub.check_hub_model("base.model", "models/one/more", None)
    assert asked == []
