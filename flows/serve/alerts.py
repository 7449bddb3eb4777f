"""Alerts about a nightly that failed, a promotion that was refused and data that cannot be used, by Prefect's own means.

GENREC_ALERTS_URL holds where they go: a Slack webhook, another webhook (http or https; it gets JSON with text, subject
and body), or an address in the form of Apprise, such as mailtos://user:password@example.com?to=team@example.com for
e-mail. It is a secret: it is read from the environment alone, kept in a Prefect block that shows it to nobody, and
never printed. `serve` sets the alerts up when the variable is there, `python -m flows alerts` does so on any server.
"""

import asyncio
import contextlib
import os
from datetime import timedelta
from typing import Any, ClassVar, TypeAlias, cast, get_args
from urllib.parse import urlsplit
from uuid import UUID

from prefect.blocks.abstract import NotificationError
from prefect.blocks.notifications import AppriseNotificationBlock, CustomWebhookNotificationBlock, SlackWebhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from flows.events import REFUSED
from genrec.errors import GenrecError

ADDRESS = "GENREC_ALERTS_URL"
BLOCK = "genrec-alerts"
NIGHTLY = "retrain-nightly"
TAG = "genrec-alerts"
_BEFORE_AN_ERROR = "Flow run encountered an exception: "  # prefect/flow_engine.py, handle_exception
_RUN = "{{ flow_run.name }}: {{ flow_run.state.message }}\n{{ flow_run | ui_url }}"


class AlertAddress(AppriseNotificationBlock):
    """An address in the form of Apprise, e-mail above all, for which Prefect has no block of its own.

    The server has to know the class: flows/serve/web.py imports it.
    """

    _block_type_name: ClassVar[str] = "Alert Address"
    _block_type_slug: ClassVar[str] = "alert-address"


AlertBlock: TypeAlias = SlackWebhook | CustomWebhookNotificationBlock | AlertAddress


def install(address: str) -> AlertBlock:
    """Keep the address in a block and put the automations on the server; one that a user switched off stays off.

    Raises GenrecError for an address that is none.
    """
    block = block_for(address)
    with get_client(sync_client=True) as client:
        _forget_address(client, keep=type(block))
        document = cast(UUID, block.save(BLOCK, overwrite=True))
        there = {automation.name: automation for automation in client.read_automations()}
        for wanted in _automations(document):
            if known := there.get(wanted.name):
                client.update_automation(known.id, wanted.model_copy(update={"enabled": known.enabled}))
            else:
                client.create_automation(wanted)
    return block


def install_from_environment() -> list[str]:
    """Set the alerts up where an address is given, and take it out of the environment: the runs do not need it.

    Returns lines for the console, of an address that is none: without alerts, the rest goes on.
    """
    address = os.environ.pop(ADDRESS, "")
    try:
        if address:
            install(address)
    except GenrecError as error:
        return [f"no alerts: {error}"]
    return []


def remove() -> None:
    """Take the automations and the block with the address off the server."""
    with get_client(sync_client=True) as client:
        for automation in client.read_automations():
            if TAG in automation.tags:
                client.delete_automation(automation.id)
        _forget_address(client)


def _forget_address(client: SyncPrefectClient, keep: type[AlertBlock] | None = None) -> None:
    """Delete the block of every kind but `keep`."""
    for kind in get_args(AlertBlock):
        with contextlib.suppress(ObjectNotFound):
            if kind is not keep:
                document = client.read_block_document_by_name(BLOCK, kind.get_block_type_slug())
                client.delete_block_document(document.id)


def send_trial(block: AlertBlock) -> None:
    """Send a message as an alert would be sent. Raises GenrecError, without the address, when it does not get through."""
    try:
        with block.raise_on_failure():
            asyncio.run(block.anotify("Alerts of genrec arrive here from now on.", "genrec: alerts are set up"))
    except NotificationError:
        raise GenrecError(f"{ADDRESS}: the trial message was not accepted there; check the address") from None
    except Exception as error:  # of the HTTP client; its text holds the address
        raise GenrecError(f"{ADDRESS}: the trial message did not get through: {type(error).__name__}") from None


def block_for(address: str) -> AlertBlock:
    """The block that sends to the address. Raises GenrecError, without the address in it, for one that is none."""
    try:
        parts = urlsplit(address)
    except ValueError:  # half an IPv6 address, say
        parts = urlsplit("")
    if parts.hostname in ("hooks.slack.com", "hooks.slack-gov.com"):
        return SlackWebhook(url=address)
    if parts.scheme in ("http", "https") and parts.hostname:
        message = {"text": "{{subject}}\n{{body}}", "subject": "{{subject}}", "body": "{{body}}"}
        return CustomWebhookNotificationBlock(
            name="genrec", url="{{address}}", json_data=message, secrets={"address": address}
        )
    from apprise import Apprise

    if parts.scheme and Apprise().add(address):
        return AlertAddress(url=address)
    raise GenrecError(f"{ADDRESS}: not an address; give https://..., mailtos://user:password@host?to=..., or another "
                      "that Apprise knows (https://github.com/caronc/apprise/wiki)")  # fmt: skip


def _automations(block: UUID) -> list[AutomationCore]:
    """One for each cause; a run that fails for its data is told once, as a nightly or as another run."""
    of_data = {"prefect.state-message": [f"{before}DataError*" for before in ("", _BEFORE_AN_ERROR)]}
    kinds = [
        ("a nightly failed", _failed(NIGHTLY), _RUN),
        ("data cannot be used", _failed(f"!{NIGHTLY}", of_data), _RUN),
        (
            "a promotion was refused",
            _trigger({REFUSED}),
            "{{ event.resource.name }}: {{ event.payload.why }}. {{ event.payload.in_service }} stays in service.",
        ),
    ]
    return [
        AutomationCore(
            name=f"genrec: {what}",
            description=f"Set up by {ADDRESS}; `python -m flows alerts --off` removes it.",
            tags=[TAG],
            trigger=trigger,
            actions=[SendNotification(block_document_id=block, subject=f"genrec: {what}", body=body)],
        )
        for what, trigger, body in kinds
    ]


def _failed(deployment: str, more: dict[str, Any] | None = None) -> EventTrigger:
    """Each time a run of this deployment (`!name`: of any other) fails or crashes."""
    state = {"prefect.resource.id": "prefect.flow-run.*", "prefect.state-type": ["FAILED", "CRASHED"], **(more or {})}
    related = {"prefect.resource.role": "deployment", "prefect.resource.name": deployment}
    return _trigger(
        {"prefect.flow-run.*"}, match=ResourceSpecification(state), match_related=ResourceSpecification(related)
    )


def _trigger(events: set[str], **which: ResourceSpecification) -> EventTrigger:
    return EventTrigger(expect=events, posture=Posture.Reactive, threshold=1, within=timedelta(0), **which)
