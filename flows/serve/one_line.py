"""Errors that are meant for people (`GenrecError`) are one line in the log of a run, without a traceback.

Prefect logs an exception that leaves a flow twice, and one that leaves a task once, each time with its traceback.
"""

import logging

from prefect.exceptions import SignatureMismatchError

from genrec.errors import GenrecError
from genrec.redact import redact

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")
_SAID_AGAIN = "exited with unexpected exception"  # by the process, after the flow itself has logged the error


def log_errors_in_one_line() -> None:
    """From now on, in this process. Filters are compared by identity: calling it again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_in_one_line)


def _in_one_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, SignatureMismatchError):  # fields that the form never had, saved with a schedule
        record.msg, record.args = redact(str(error)), ()
    elif not isinstance(error, GenrecError):
        return True
    record.exc_info = record.exc_text = None
    return _SAID_AGAIN not in str(record.msg)
