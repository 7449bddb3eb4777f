"""An event of a user with an item, and the rules it has to keep."""

import re
from dataclasses import dataclass

from genrec.event_log.errors import BadEvent
from genrec.tables import END_TIME_MS, FIRST_TIME_MS

MAX_ID_CHARS = 512
MAX_AHEAD_MS = 24 * 3600 * 1000  # how far a client's clock may be ahead of this one
_TYPE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_NOT_IN_IDS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Event:
    """What a client reports. Making one that breaks a rule raises BadEvent.

    user_id, item_id: text as in the shop's data, 1 to 512 characters, without blanks around it and control characters.
    event: click, purchase or a type of the shop's own: small letters, digits, `_` and `-`, at most 64.
    timestamp: when it happened by the client's clock, in milliseconds since 1970; None: when the log takes it, by this
        machine's clock.
    event_id: chosen by the client, so that sending it again stores nothing; None: the log makes one.
    request_id: of the recommendation that it answers, if any.
    """

    user_id: str
    item_id: str
    event: str
    timestamp: int | None = None
    event_id: str | None = None
    request_id: str | None = None

    def __post_init__(self) -> None:
        check_id("user_id", self.user_id)
        check_id("item_id", self.item_id)
        if not isinstance(self.event, str) or not _TYPE.fullmatch(self.event):
            raise BadEvent(
                "event", f"click, purchase or another word of small letters, digits, _ and - is meant, not {_shown(self.event)}"
            )  # fmt: skip
        for name in ("event_id", "request_id"):
            value = getattr(self, name)
            if value is not None:
                check_id(name, value)
        if self.timestamp is not None:
            _check_time(self.timestamp)


@dataclass(frozen=True, slots=True)
class Stored:
    """An event of the log.

    sequence: grows by the order in which events were stored, whatever clocks say; numbers may be left out.
    timestamp: the client's, or, where `by_server`, this machine's when it was stored; the latter never repeats or goes
        back within a user's events. received_at: this machine's clock when it was stored, as it was. Both in ms.
    """

    sequence: int
    event_id: str
    user_id: str
    item_id: str
    event: str
    timestamp: int
    received_at: int
    by_server: bool
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to one event of an append: its place, and whether an earlier call had stored it already."""

    event_id: str
    sequence: int
    repeated: bool


def check_id(field: str, value: object) -> None:
    """Raises BadEvent for what cannot be an id."""
    if not isinstance(value, str):
        raise BadEvent(field, f"text is meant, not {_shown(value)}")
    if not value.strip():
        raise BadEvent(field, "is empty")
    if len(value) > MAX_ID_CHARS:
        raise BadEvent(field, f"has {len(value):,} characters, more than {MAX_ID_CHARS}")
    if value != value.strip():
        raise BadEvent(field, "has blanks around it; leave them out")
    if _NOT_IN_IDS.search(value):
        raise BadEvent(field, "holds a line break or another control character")


def _check_time(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadEvent("timestamp", f"whole milliseconds since 1970 are meant, not {_shown(value)}")
    if not FIRST_TIME_MS <= value < END_TIME_MS:
        hint = "; it looks like seconds, write milliseconds" if FIRST_TIME_MS <= value * 1000 < END_TIME_MS else ""
        raise BadEvent("timestamp", f"{value} is not a time between 1990 and 2100 in milliseconds since 1970{hint}")


def check_not_ahead(timestamp: int, now_ms: int) -> None:
    """Raises BadEvent for a client's time that this machine's clock will reach in more than a day only."""
    if timestamp > now_ms + MAX_AHEAD_MS:
        raise BadEvent("timestamp", f"{timestamp} is more than a day after now ({now_ms}); check the client's clock")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
