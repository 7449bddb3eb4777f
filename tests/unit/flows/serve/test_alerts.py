"""Where alerts go, what is told, and that no address is."""

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook

from flows.serve import alerts
from genrec.errors import GenrecError
from tests.support.receiver import receiver

SLACK = "https://hooks.slack.com/services/" + "T00000000/B00000000/canary"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (SLACK, SlackWebhook),
        ("https://example.com/hook/canary", CustomWebhookNotificationBlock),
        ("mailtos://team:canary@example.com?to=team@example.com", alerts.AlertAddress),
    ],
)
def test_an_address_goes_into_a_block_of_its_kind_that_does_not_show_it(address, kind):
    block = alerts.block_for(address)
    assert type(block) is kind
    assert "canary" not in repr(block)
    assert "canary" not in block.model_dump_json()


@pytest.mark.parametrize("address", ["canary", "nonsense://canary", "https://", "mailto://", "http://[canary"])
def test_what_is_no_address_is_refused_without_repeating_it(address):
    with pytest.raises(GenrecError, match="GENREC_ALERTS_URL: not an address") as refused:
        alerts.block_for(address)
    assert "canary" not in str(refused.value)


def test_a_trial_message_is_sent_and_one_that_is_refused_is_an_error_without_the_address():
    with receiver() as there:
        block = alerts.block_for(there.url)
        alerts.send_trial(block)
        alerts.send_trial(alerts.block_for(there.url.replace("http", "json")))
        assert there.got[0]["text"].startswith("genrec: alerts are set up\n")
        assert there.got[1]["title"] == there.got[0]["subject"]
        there.status = 500
        for address in (there.url, there.url.replace("http", "json")):
            with pytest.raises(GenrecError, match="GENREC_ALERTS_URL: the trial message") as refused:
                alerts.send_trial(alerts.block_for(address))
            assert "canary" not in str(refused.value)


def test_the_runs_do_not_get_the_address(monkeypatch):
    installed = []
    monkeypatch.setattr(alerts, "install", installed.append)
    alerts.install_from_environment()
    monkeypatch.setenv("GENREC_ALERTS_URL", SLACK)
    alerts.install_from_environment()
    alerts.install_from_environment()
    assert installed == [SLACK]


def test_serve_goes_on_without_alerts_where_the_address_is_none(monkeypatch):
    monkeypatch.setenv("GENREC_ALERTS_URL", "canary")
    (line,) = alerts.install_from_environment()
    assert line.startswith("no alerts: GENREC_ALERTS_URL: not an address")
    assert "canary" not in line
