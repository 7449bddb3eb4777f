"""Errors for people are one line in a run's log; others keep their traceback."""

import logging

import pytest
from prefect.exceptions import SignatureMismatchError
from prefect.utilities.callables import parameters_to_args_kwargs

from flows.serve.one_line import log_errors_in_one_line
from genrec.errors import ConfigError, GenrecError

TWICE = "Engine execution exited with unexpected exception"


def _logged(name, message, error, caplog):
    """The lines that a handler writes of an error that is logged with its traceback."""
    log_errors_in_one_line()
    caplog.clear()
    try:
        raise error
    except type(error):
        logging.getLogger(name).error(message, exc_info=True)
    return [line for record in caplog.records for line in logging.Formatter().format(record).splitlines()]


@pytest.fixture(autouse=True)
def _propagating(caplog, monkeypatch):
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs", "prefect.engine"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)


@pytest.mark.parametrize("name", ["prefect.flow_runs", "prefect.task_runs"])
def test_an_error_for_people_is_one_line(name, caplog):
    for error in (GenrecError("no data"), ConfigError("no data")):
        assert _logged(name, "Encountered exception: no data", error, caplog) == ["Encountered exception: no data"]


def test_it_is_not_logged_a_second_time_at_the_end_of_the_process(caplog):
    assert _logged("prefect.flow_runs", TWICE, ConfigError("no data"), caplog) == []
    assert (
        _logged("prefect.engine", "Execution of flow run 'x' exited with unexpected exception", ConfigError(""), caplog)
        == []
    )


def test_a_defect_keeps_its_traceback(caplog):
    lines = _logged("prefect.flow_runs", TWICE, RuntimeError("a defect"), caplog)
    assert lines[0] == TWICE
    assert lines[1].startswith("Traceback")


def test_fields_that_a_form_never_had_are_named_in_one_line_without_their_values(caplog):
    with pytest.raises(SignatureMismatchError) as refused:
        parameters_to_args_kwargs(lambda data: None, {"sft_epohs": "canary", "hf_" + "q" * 34: 1})
    (line,) = _logged("prefect.flow_runs", TWICE, refused.value, caplog)
    assert "sft_epohs" in line
    assert "canary" not in line
    assert "qqq" not in line
