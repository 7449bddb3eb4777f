"""Group commit: no call is lost, those that wait are written together, and errors reach whom they concern."""

import threading

import pytest

from genrec.event_log import Event, EventConflict, LogBusy, open_log
from genrec.event_log.together import Together


def in_threads(*functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    return threads


def test_calls_that_come_while_one_is_written_share_the_next_write():
    groups, began, may_go_on, results = [], threading.Event(), threading.Event(), {}

    def write(calls):
        groups.append([call.given for call in calls])
        began.set()
        assert may_go_on.wait(60)
        for call in calls:
            call.result = [call.given]

    together = Together(write)

    def call(number):
        results[number] = together.call(number)

    threads = in_threads(lambda: call(0))
    assert began.wait(60)
    threads += in_threads(*(lambda n=n: call(n) for n in range(1, 6)))
    while len(together._waiting) < 5:
        threading.Event().wait(0.001)
    may_go_on.set()
    for thread in threads:
        thread.join()
    assert [sorted(group) for group in groups] == [[0], [1, 2, 3, 4, 5]]
    assert results == {n: [n] for n in range(6)}


def test_an_error_of_the_write_is_raised_to_each_and_the_next_call_goes_on():
    broken = True

    def write(calls):
        if broken:
            raise LogBusy("held")
        for call in calls:
            call.result = True

    together = Together(write)
    with pytest.raises(LogBusy, match="held"):
        together.call(1)
    broken = False
    assert together.call(1)


def test_a_call_that_is_refused_leaves_those_beside_it_as_they_are(tmp_path):
    with open_log(tmp_path / "e.sqlite") as log:
        log.append([Event("u", "a", "click", event_id="e1")])
        refused, errors = Event("u", "other", "click", event_id="e1"), []

        def send(number):
            try:
                log.append([refused if number % 2 else Event("u", f"i{number}", "click")])
            except EventConflict as error:
                errors.append(error)

        with log._together._writing:  # until all of them wait
            threads = in_threads(*(lambda n=n: send(n) for n in range(8)))
            while len(log._together._waiting) < 8:
                threading.Event().wait(0.001)
        for thread in threads:
            thread.join()
        assert len(errors) == 4
        assert sorted(row.item_id for row in log.history("u")) == ["a", "i0", "i2", "i4", "i6"]
