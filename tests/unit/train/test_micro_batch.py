import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.errors import TrainingError
from genrec.train.learner_group import LearnerGroup
from genrec.train.micro_batch import MicroBatch, largest_forward

CPU = torch.device("cpu")


class _Gpu:
    """Memory of `total` bytes, of which a forward of n rows takes `fixed` and `a_row` for each."""

    def __init__(self, total, fixed, a_row):
        self.total, self.fixed, self.a_row, self.peak = total, fixed, a_row, 0

    def run(self, rows):
        self.peak = self.fixed + rows * self.a_row
        if self.peak > self.total:
            raise torch.OutOfMemoryError("there is too little")

    def free(self):
        return self.total

    def peak_of(self, run):
        run()
        return self.peak


@given(
    total=st.integers(1000, 10**9),
    fixed=st.integers(0, 10**6),
    a_row=st.integers(1, 10**6),
    most=st.integers(1, 600),
    reserve=st.integers(0, 1000),
)
def test_what_is_measured_fits_and_little_more_would(total, fixed, a_row, most, reserve):
    gpu = _Gpu(total, fixed, a_row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "genrec.train.micro_batch.release", lambda: None
        )  # a collection of garbage takes long, a hundred longer
        found = largest_forward(gpu.run, most, gpu, reserve)
    assert 0 <= found <= most
    assert found == 0 or fixed + found * a_row <= total
    fits = (0.85 * total - reserve - fixed) // a_row
    if fits >= 8 and total >= fixed + 8 * a_row and most >= 8:
        assert found == min(most, fits)


def test_where_not_even_one_row_fits_the_setting_is_named():
    gpu = _Gpu(total=10, fixed=20, a_row=1)
    micro = MicroBatch("auto", "sft.micro_batch_size")
    with pytest.raises(TrainingError, match=r"sft\.micro_batch_size: .* too little memory for a forward of one row"):
        micro.measured(largest_forward(gpu.run, 64, gpu), LearnerGroup(), CPU)


def test_halving_ends_at_one_row_and_is_for_auto_alone():
    micro = MicroBatch("auto", "rl.micro_batch_size")
    micro.measured(5, LearnerGroup(), CPU)
    assert micro.may_halve(LearnerGroup())
    micro.halve(9)
    assert micro.size == 2
    micro.halve(2)
    assert micro.size == 1
    with pytest.raises(TrainingError, match=r"rl\.micro_batch_size"):
        micro.halve(1)
    assert not MicroBatch(32, "rl.micro_batch_size").may_halve(LearnerGroup())
