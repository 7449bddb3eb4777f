"""What is left of a stage's time, and how often that is said."""

import itertools

import pytest

from flows.pace import EVERY_S, Pace, roughly, so_far


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return _Clock()


def test_the_time_left_is_that_of_the_rest_at_the_speed_so_far(clock):
    pace = Pace(clock)
    assert pace.left_s(0.0) is None
    clock.now += 30
    assert pace.left_s(0.25) == pytest.approx(90)


def test_work_that_goes_on_from_a_checkpoint_is_not_taken_for_fast(clock):
    pace = Pace(clock)
    assert pace.left_s(0.5) is None
    clock.now += 10
    assert pace.left_s(0.6) == pytest.approx(40)


def test_a_second_pass_that_starts_again_is_measured_anew(clock):
    pace = Pace(clock)
    pace.left_s(0.0)
    clock.now += 10
    pace.left_s(0.9)
    assert pace.left_s(0.1) is None
    clock.now += 10
    assert pace.left_s(0.2) == pytest.approx(80)


def test_nothing_is_said_more_often_than_every_ten_seconds(clock):
    pace, said = Pace(clock), []
    for step in range(1000):
        clock.now += 0.37
        if pace.due("line", step / 1000):
            said.append(clock.now)
    assert said[0] - 100 >= EVERY_S
    assert min(b - a for a, b in itertools.pairwise(said)) >= EVERY_S
    assert len(said) > 30


def test_a_stage_gets_no_more_lines_than_asked_for(clock):
    pace, said = Pace(clock), 0
    for step in range(1000):  # 33 minutes
        clock.now += 2
        said += pace.due("line", step / 1000, steps=20)
    assert 15 <= said <= 20


def test_a_stage_that_stands_still_is_heard_of_every_five_minutes(clock):
    pace, said = Pace(clock), 0
    for _ in range(3600):
        clock.now += 1
        said += pace.due("line", 0.5, steps=20)
    assert said == pytest.approx(12, abs=1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "5 s"), (44, "45 s"), (89, "90 s"), (90, "2 min"), (725, "12 min"), (12_000, "3 h 20 min")],
)
def test_an_estimate_is_as_exact_as_it_can_be(seconds, text):
    assert roughly(seconds) == text


def test_progress_in_a_few_words():
    assert so_far("sft", 0.4, 118.0) == "sft 40%, 2 min left"
    assert so_far("sft", 0.0, None) == "sft 0%"
    assert so_far("sft", 1.0, 0.0) == "sft 100%"
