import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.train.sft.windows import make_windows, micro_batches, shuffled_batches

SEQUENCES = st.lists(st.integers(0, 40), min_size=1, max_size=12)


def windows_of(lengths, max_history):
    """Items are numbered through, so that an item is its own position."""
    return make_windows(np.arange(sum(lengths)), np.concatenate([[0], np.cumsum(lengths)]), max_history)


@settings(deadline=None)
@given(lengths=SEQUENCES, max_history=st.integers(1, 12))
def test_every_item_is_a_target_once_with_its_own_history(lengths, max_history):
    windows = windows_of(lengths, max_history)
    begin = np.repeat(np.cumsum(lengths) - lengths, lengths)  # by item: where its sequence starts
    targets = []
    for w in range(len(windows)):
        items, is_target = (t[0] for t in windows.gather(np.array([w])))
        assert len(items) <= max_history + 1
        np.testing.assert_array_equal(np.diff(items), 1)
        assert items[0] >= begin[items[-1]]
        for place in np.flatnonzero(is_target):
            before = items[place] - begin[items[place]]
            assert place >= min(before, max_history // 2)
            targets.append(items[place])
    assert sorted(targets) == list(range(sum(lengths)))
    assert windows.num_targets == sum(lengths)


@settings(deadline=None)
@given(length=st.integers(1, 40), max_history=st.integers(1, 12))
def test_the_last_item_sees_exactly_an_evaluation_prompt(length, max_history):
    windows = windows_of([length], max_history)
    items, is_target = (t[0] for t in windows.gather(np.array([len(windows) - 1])))
    assert is_target[-1]
    assert items[:-1].tolist() == list(range(length - 1))[-max_history:]


@settings(deadline=None)
@given(lengths=SEQUENCES, size=st.integers(1, 9), max_history=st.integers(1, 6))
def test_micro_batches_partition_a_batch_with_little_padding(lengths, size, max_history):
    windows = windows_of(lengths, max_history)
    rows = np.arange(len(windows))[::-1]
    parts = list(micro_batches(rows, windows.lengths[rows], size))
    assert sorted(np.concatenate([*parts, np.empty(0, int)]).tolist()) == list(range(len(windows)))
    for part in parts:
        assert 0 < len(part) <= size
        assert windows.lengths[part].mean() >= 0.75 * windows.lengths[part].max()


def test_an_epoch_shows_every_window_once_in_an_order_of_its_own():
    epochs = [shuffled_batches(np.arange(50), 8, np.random.default_rng([1, epoch])) for epoch in (0, 1, 0)]
    for batches in epochs:
        assert [len(b) for b in batches] == [8] * 6 + [2]
        assert sorted(np.concatenate(batches)) == list(range(50))
    flat = [np.concatenate(b).tolist() for b in epochs]
    assert flat[0] == flat[2] != flat[1]


def test_padding_is_no_target():
    items, targets = windows_of([2, 4], 9).gather(np.array([0, 1]))
    assert items.tolist() == [[0, 1, 0, 0], [2, 3, 4, 5]]
    assert targets.tolist() == [[True, True, False, False], [True] * 4]


@settings(deadline=None)
@given(lengths=SEQUENCES, max_history=st.integers(1, 12), seed=st.integers(0, 99))
def test_reversed_windows_hold_the_same_items_and_targets_newest_first(lengths, max_history, seed):
    windows = windows_of(lengths, max_history)
    if not len(windows):
        return
    reverse = np.random.default_rng(seed).random(len(windows)) < 0.5
    plain, turned = (windows.gather(np.arange(len(windows)), flags) for flags in (None, reverse))
    for row, length in enumerate(windows.lengths):
        step = -1 if reverse[row] else 1
        for before, after in zip(plain, turned, strict=True):
            assert after[row, :length].tolist() == before[row, :length].tolist()[::step]
            assert after[row, length:].tolist() == before[row, length:].tolist()


@settings(deadline=None)
@given(lengths=SEQUENCES, max_history=st.integers(1, 12), keep=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_left_out_items_close_up_and_no_window_is_left_empty(lengths, max_history, keep, seed):
    windows = windows_of(lengths, max_history)
    if not len(windows):
        return
    rows = np.arange(len(windows))
    items, targets = windows.gather(rows, None, keep, rng=np.random.default_rng(seed))
    for row, (start, end) in enumerate(zip(windows.start, windows.end, strict=True)):
        count = max(1, int((items[row] > 0).sum() + (items[row, 0] == 0 and start == 0)))
        left = items[row, :count]
        assert np.isin(left, np.arange(start, end)).all()
        assert (np.diff(left) > 0).all()
        np.testing.assert_array_equal(
            targets[row], (np.arange(len(items[row])) < count) & (items[row] >= windows.first_target[row])
        )


def test_items_are_left_out_as_often_as_asked():
    windows = windows_of([20] * 500, 20)
    items, _ = windows.gather(np.arange(500), None, 0.8, rng=np.random.default_rng(0))
    assert abs((items > 0).sum() / (500 * 20 - 1) - 0.8) < 0.01


@settings(deadline=None)
@given(lengths=SEQUENCES, max_history=st.integers(1, 12), seed=st.integers(0, 2**31))
def test_a_cropped_window_is_the_end_of_the_whole_one(lengths, max_history, seed):
    windows = windows_of(lengths, max_history)
    if not len(windows):
        return
    items, targets = windows.gather(np.arange(len(windows)), None, 1.0, 1.0, np.random.default_rng(seed))
    for row, (start, end) in enumerate(zip(windows.start, windows.end, strict=True)):
        begin = items[row, 0]
        assert start <= begin < end
        np.testing.assert_array_equal(items[row, : end - begin], np.arange(begin, end))
        np.testing.assert_array_equal(targets[row, : end - begin], np.arange(begin, end) >= windows.first_target[row])
        assert not targets[row, end - begin :].any()


def test_windows_are_cropped_as_often_as_asked_and_anywhere():
    windows = windows_of([21] * 4000, 20)
    items, _ = windows.gather(np.arange(4000), None, 1.0, 0.5, np.random.default_rng(0))
    begin = items[:, 0] - windows.start
    assert abs((begin > 0).mean() - 0.5 * 20 / 21) < 0.03
    assert set(begin) == set(range(21))


def test_repeats_are_the_windows_that_hold_wanted_targets_with_these_alone():
    windows = windows_of([3, 2, 9], 5).with_repeats(np.isin(np.arange(14), [1, 2, 13]))
    assert (len(windows), windows.num_plain, windows.num_repeats) == (7, 5, 2)
    assert windows.num_targets == 14
    items, targets = windows.gather(np.array([5, 6, 0]))
    assert [row[flags].tolist() for row, flags in zip(items, targets, strict=True)] == [[1, 2], [13], [0, 1, 2]]
    assert items[1][:6].tolist() == [8, 9, 10, 11, 12, 13]  # the history of a repeat is whole


@settings(deadline=None)
@given(lengths=SEQUENCES, times=st.floats(0, 3), seed=st.integers(0, 99))
def test_wanted_targets_are_drawn_more_often_and_the_others_once(lengths, times, seed):
    wanted = np.random.default_rng(seed).random(sum(lengths)) < 0.3
    windows = windows_of(lengths, 4).with_repeats(wanted)
    size = windows.num_plain + round(times * windows.num_repeats)
    rows = windows.rows_of_epoch(size, np.random.default_rng(seed))
    assert len(rows) == size
    drawn = np.bincount(rows, minlength=len(windows))
    assert (drawn[: windows.num_plain] == 1).all()
    again = drawn[windows.num_plain :]
    assert not len(again) or int(times) <= again.min() <= again.max() <= int(times) + 1
    if not len(windows):
        return
    items, targets = windows.gather(rows)
    counts = np.bincount(items[targets], minlength=sum(lengths))
    assert (counts[~wanted] == 1).all()
    assert counts[wanted].sum() >= wanted.sum()
