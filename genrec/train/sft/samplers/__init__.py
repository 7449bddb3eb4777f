"""Samplers of supervised fine-tuning: which samples count more than once.

A user's window is read in one pass with a loss at every item, so there are two kinds of sample: the target (an item at
its place in a history) and the window. A sampler is one module of this package with a `Config` and the functions

    target_weights(counts int64[N], options) -> float32[N]: what an item counts as a target; `counts` are its training
        events
    second_pass(losses float32[W], options) -> int64[<= num_extra]: windows read again in the same epoch, given the mean
        loss of each in the first pass
    num_extra(num_windows, options) -> how many windows the second pass has

Optional function:

    drawn_again(counts int64[N], options) -> (bool[N], float): items that are read as targets more often, and how many
        times more an epoch on average. Windows that hold some come again among the others of the epoch, and only these
        items are targets there (`genrec.train.sft.windows.Windows.with_repeats`).
"""

PACKAGE = "genrec.train.sft.samplers"
