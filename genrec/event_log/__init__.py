"""Clicks and purchases as they happen: a durable log that the endpoint writes and that retraining reads.

log = open_log(".genrec/events/events.sqlite")       # or postgresql://host/database
receipts = log.append([Event("u1", "i7", "click")])  # durable when it returns
log.history("u1")                                    # oldest first, the new event last
"""

from genrec.event_log.errors import (
    BadEvent,
    EventConflict,
    EventLogError,
    LogBusy,
    LogCorrupt,
    LogFull,
    LogUnavailable,
)
from genrec.event_log.event import Event, Receipt, Stored
from genrec.event_log.log import Cut, EventLog, log_of_store, open_log

__all__ = [
    "BadEvent",
    "Cut",
    "Event",
    "EventConflict",
    "EventLog",
    "EventLogError",
    "LogBusy",
    "LogCorrupt",
    "LogFull",
    "LogUnavailable",
    "Receipt",
    "Stored",
    "log_of_store",
    "open_log",
]
