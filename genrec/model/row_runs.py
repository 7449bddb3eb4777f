"""Products of states with the vectors of all nodes behind a prefix, where a batch reads most nodes of a large trie.

The children of a prefix are neighbours, so the states behind it are multiplied with a slice of the tables: nothing is
gathered, and the gradient is added to the same slice of a buffer. Gathered, the vectors of 50 thousand nodes are copied
three times a forward, and to project their texts takes as long as the rest of a small model's forward.
"""

from typing import Any, NamedTuple

import torch


class RunGradient:
    """The gradient of a table of embeddings [S, D] of which runs of rows are read; zero where none was."""

    def __init__(self, table: torch.Tensor) -> None:
        self.values = torch.zeros_like(table, requires_grad=False)
        self._read = torch.zeros(len(table), dtype=torch.bool)

    def add(self, start: int, end: int, left: torch.Tensor, right: torch.Tensor) -> None:
        """Add left.T @ right, [t, n] and [t, D], to the gradient of rows start..end, n of them."""
        self.values[start:end].addmm_(left.T, right)
        self._read[start:end] = True

    def runs(self) -> list[tuple[int, int]]:
        """(start, end) of the rows that were read, ascending, as few as can be."""
        none = torch.zeros(1, dtype=torch.int8)
        edges = torch.diff(self._read.to(torch.int8), prepend=none, append=none).nonzero()[:, 0].tolist()
        return list(zip(edges[::2], edges[1::2], strict=True))

    def clear(self) -> None:
        """No row was read."""
        for start, end in self.runs():
            self.values[start:end] = 0
        self._read.zero_()


class Runs(NamedTuple):
    """Which states are multiplied with which rows."""

    order: torch.Tensor  # int64[T], states that share a run side by side
    groups: list[tuple[int, int, int, int]]  # first and end of such states, first and end of their rows


def products_of_runs(
    states: torch.Tensor,
    projected: torch.Tensor | None,
    runs: Runs,
    width: int,
    table: torch.Tensor | None,
    texts: torch.Tensor | None,
    apart: tuple[RunGradient, int] | None = None,
) -> torch.Tensor:
    """float32[T, width], differentiable: of states [T, D] the products with the rows of `table` [S, D] in their run and, added
    to them, those of `projected` [T, V] with the same rows of `texts` [S, V]; 0 in the places behind a run.

    With `apart`, the gradient of row s of `table` is added to row first + s of (gradient, first), and goes nowhere else;
    without, each row is in one run at most. Of `table` on the one side, `projected` and `texts` on the other, one may be None.
    """
    if table is not None and apart is not None:
        table = table.detach()
    first = states[runs.order], None if projected is None else projected[runs.order]
    found = _Products.apply(*first, table, texts, apart, runs.groups, width)
    return torch.empty_like(found).index_copy(0, runs.order, found)


class _Products(torch.autograd.Function):
    """Of states in the order of their runs."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        projected: torch.Tensor | None,
        table: torch.Tensor | None,
        texts: torch.Tensor | None,
        apart: tuple[RunGradient, int] | None,
        groups: list[tuple[int, int, int, int]],
        width: int,
    ) -> torch.Tensor:
        ctx.save_for_backward(states, projected, table, texts)
        ctx.how = apart, groups
        found = states.new_zeros(len(states), width)
        for begin, end, start, stop in groups:
            out = found[begin:end, : stop - start]
            if table is not None:
                torch.mm(states[begin:end], table[start:stop].T, out=out)
            if projected is not None and texts is not None:
                out.addmm_(projected[begin:end], texts[start:stop].T)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        states, projected, table, texts = ctx.saved_tensors
        apart, groups = ctx.how
        of_states = torch.zeros_like(states) if table is None else torch.empty_like(states)
        of_projected = None if projected is None else torch.empty_like(projected)
        of_table = torch.zeros_like(table) if table is not None and apart is None else None
        for begin, end, start, stop in groups:
            gradient = gradients[0][begin:end, : stop - start]
            if table is not None:
                torch.mm(gradient, table[start:stop], out=of_states[begin:end])
            if of_table is not None:
                torch.mm(gradient.T, states[begin:end], out=of_table[start:stop])
            elif apart is not None:
                apart[0].add(apart[1] + start, apart[1] + stop, gradient, states[begin:end])
            if of_projected is not None:
                torch.mm(gradient, texts[start:stop], out=of_projected[begin:end])
        return of_states, of_projected, of_table, None, None, None, None
