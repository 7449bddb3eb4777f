"""What can go wrong with the event log, by what the caller should do about it."""

from genrec.errors import GenrecError


class EventLogError(GenrecError):
    """The event log could not do what was asked."""


class BadEvent(EventLogError):
    """An event breaks a rule of genrec/event_log/event.py; `field` names the one. Nothing was stored. To send again: no."""

    def __init__(self, field: str, problem: str) -> None:
        self.field, self.problem = field, problem
        super().__init__(f"{field}: {problem}")


class EventConflict(EventLogError):
    """An event id was used before, for another event. Nothing of the call was stored. To send again: no."""


class LogUnavailable(EventLogError):
    """The log cannot do it now, through no fault of the event: an endpoint answers 503, the client may send it again.

    Nothing was stored; only where the connection to Postgres broke in the middle of a commit, that is not known.
    """


class LogBusy(LogUnavailable):
    """Another writer held the log for longer than the time to wait."""


class LogFull(LogUnavailable):
    """The disk of the log is full, or it cannot be written any more."""


class LogCorrupt(LogUnavailable):
    """The log cannot be read: it is no event log, or damaged. It is left as it is."""
