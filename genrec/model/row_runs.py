"""Products of states with the vectors of all nodes behind a prefix, where a batch reads most nodes of a large trie.

The children of a prefix are neighbours, so the states behind it are multiplied with a slice of the tables: nothing is
gathered, and the gradient is added to the same slice of a buffer. Gathered, the vectors of 50 thousand nodes are copied
three times a forward, and to project their texts takes as long as the rest of a small model's forward.
"""

from typing import Any

import torch
from torch import nn


class RunGradient:
    """The gradient of a table of embeddings [S, D] of which runs of rows are read; zero where none was."""

    def __init__(self, table: nn.Parameter) -> None:
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


def products_of_runs(
    states: torch.Tensor,
    projected: torch.Tensor | None,
    starts: torch.Tensor,
    ends: torch.Tensor,
    table: torch.Tensor,
    texts: torch.Tensor | None,
    gradient: RunGradient,
    first: int,
    width: int,
) -> torch.Tensor:
    """float32[T, width], differentiable: of states [T, D] with rows starts[t]..ends[t] of `table` [S, D], int64[T] each, and
    added to it that of `projected` [T, V] with the same rows of `texts` [S, V]; 0 in the places behind them.

    States with the same start have the same end. The gradient of `table` goes to rows first.. of `gradient`, and nowhere
    else. `projected` and `texts` may be None.
    """
    order = starts.argsort(stable=True)
    run_starts, sizes = starts[order].unique_consecutive(return_counts=True)
    bounds = sizes.cumsum(0)
    run_ends = ends[order][bounds - 1]
    groups = list(
        zip((bounds - sizes).tolist(), bounds.tolist(), run_starts.tolist(), run_ends.tolist(), strict=True)
    )
    how = (table.detach(), texts, gradient, first, groups, width)
    found = _Products.apply(states[order], None if projected is None else projected[order], how)
    return torch.empty_like(found).index_copy(0, order, found)


class _Products(torch.autograd.Function):
    """Of states in the order of their runs; a group is (first state, end of the states, first row, end of the rows)."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, projected: torch.Tensor | None, how: tuple[Any, ...]) -> torch.Tensor:
        table, texts, _, _, groups, width = how
        ctx.save_for_backward(states, projected)
        ctx.how = how
        found = states.new_zeros(len(states), width)
        for begin, end, start, stop in groups:
            out = found[begin:end, : stop - start]
            torch.mm(states[begin:end], table[start:stop].T, out=out)
            if projected is not None:
                out.addmm_(projected[begin:end], texts[start:stop].T)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        states, projected = ctx.saved_tensors
        table, texts, gradient, first, groups, _ = ctx.how
        of_states = torch.empty_like(states)
        of_projected = None if projected is None else torch.empty_like(projected)
        for begin, end, start, stop in groups:
            of_found = gradients[0][begin:end, : stop - start]
            torch.mm(of_found, table[start:stop], out=of_states[begin:end])
            gradient.add(first + start, first + stop, of_found, states[begin:end])
            if of_projected is not None:
                torch.mm(of_found, texts[start:stop], out=of_projected[begin:end])
        return of_states, of_projected, None
