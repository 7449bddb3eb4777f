"""The interval that may be looked at every day: false alarms, planted differences, and the closed form."""

import math

import numpy as np
import pytest

from genrec.serve.experiment.sequence import MIN_SUPPORT, MIN_USERS, effects, half_widths, interval, support_of

CONFIDENCE, TIGHT_AT, LOOKS, EXPERIMENTS = 0.95, 5000, 60, 300


def decisions(rates, share, num_users, seed):
    """For each simulated experiment with a look on each of 60 days: the sign of the first decision, 0 for none."""
    draw = np.random.default_rng(seed)
    shares = np.full(num_users, share)
    looks = np.unique(np.linspace(num_users // LOOKS, num_users, LOOKS).astype(int))
    looks = looks[looks >= MIN_USERS]
    signs = []
    for _ in range(EXPERIMENTS):
        treated = draw.random(num_users) < share
        outcomes = (draw.random(num_users) < np.where(treated, rates[1], rates[0])).astype(float)
        values = effects(outcomes, treated, shares)
        means, widths = np.cumsum(values) / np.arange(1, num_users + 1), half_widths(values, CONFIDENCE, TIGHT_AT)
        supported = np.array([support_of(outcomes[:look], shares[:look]) >= MIN_SUPPORT for look in looks])
        outside = (np.abs(means[looks - 1]) > widths[looks - 1]) & supported
        signs.append(int(np.sign(means[looks[outside.argmax()] - 1])) if outside.any() else 0)
    return np.array(signs)


@pytest.mark.parametrize(("rate", "share"), [(0.05, 0.5), (0.3, 0.5), (0.05, 0.1), (0.3, 0.02)])
def test_without_a_difference_looking_every_day_raises_few_false_alarms(rate, share):
    alarms = np.count_nonzero(decisions((rate, rate), share, 6000, seed=1))
    assert alarms <= (1 - CONFIDENCE) * EXPERIMENTS


@pytest.mark.parametrize(("rates", "sign"), [((0.05, 0.09), 1), ((0.4, 0.3), -1)])
def test_a_planted_difference_is_found_with_its_sign(rates, sign):
    signs = decisions(rates, 0.5, 6000, seed=2)
    assert np.count_nonzero(signs == sign) >= 0.95 * EXPERIMENTS
    assert np.count_nonzero(signs == -sign) <= 2


def test_a_fixed_interval_looked_at_every_day_would_raise_many():
    """The reason for a sequence, and that the test above can fail."""
    draw = np.random.default_rng(0)
    looks = np.linspace(100, 6000, LOOKS).astype(int)
    values = np.cumsum(draw.normal(size=(EXPERIMENTS, 6000)), axis=1)[:, looks - 1]
    assert np.count_nonzero((np.abs(values) > 1.96 * np.sqrt(looks)).any(axis=1)) > 4 * 0.05 * EXPERIMENTS


def test_the_closed_form():
    """Theorem 2.2 at t = 4 with variance 1 and rho^2 from alpha = 0.05, by hand."""
    values = np.array([1.0, -1.0, 1.0, -1.0])
    rho2 = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05) + 1)) / 100
    by_hand = math.sqrt(2 * (4 * rho2 + 1) / (16 * rho2) * math.log(math.sqrt(4 * rho2 + 1) / 0.05))
    widths = half_widths(values, 0.95, 100)
    assert widths[0] == math.inf
    assert widths[-1] == pytest.approx(by_hand)


def test_it_is_narrowest_against_a_fixed_interval_near_the_number_that_was_named():
    widths = half_widths(np.tile([1.0, -1.0], 50_000), 0.95, 2000)
    factors = widths * np.sqrt(np.arange(1, 100_001))  # a fixed interval has 1.96 everywhere
    assert 1000 < np.argmin(factors[1:]) < 4000
    assert 2.5 < factors[2000] < 3.5


def test_effects_have_the_difference_as_their_mean_whatever_the_shares():
    draw = np.random.default_rng(3)
    shares = np.where(np.arange(200_000) < 100_000, 0.1, 0.6)  # the share was raised on the way
    treated = draw.random(200_000) < shares
    outcomes = np.where(treated, 0.3, 0.2) + draw.normal(size=200_000) * 0.1
    assert np.mean(effects(outcomes, treated, shares)) == pytest.approx(0.1, abs=0.003)


def test_effects_of_the_first_users_by_hand():
    values = effects(np.array([1.0, 0.0, 1.0]), np.array([True, False, True]), np.full(3, 0.5))
    # Nobody before: 1 / .5. Then treated 1, control unknown, so the mean of all (1): 0 - (0 - 1) / .5. Then 1 and 0.
    assert values.tolist() == [2.0, 2.0, 1.0]


def test_nothing_is_decided_on_few_users_or_rare_outcomes():
    certain = np.full(MIN_USERS - 1, 1.0)
    assert not interval(certain, 0.95, 100, support=99).is_known
    assert interval(np.full(MIN_USERS, 1.0), 0.95, 100, support=99).decided
    assert not interval(np.full(MIN_USERS, 1.0), 0.95, 100, support=29).is_known
    assert not interval(np.empty(0), 0.95, 100, support=0).decided
    assert effects(np.empty(0), np.empty(0, bool), np.empty(0)).shape == (0,)
    assert support_of(np.array([1.0, 0, 0, 0]), np.full(4, 0.25)) == 0.25
