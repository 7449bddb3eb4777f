"""Language modelling on the catalogue's text: a scratch model learns the shop's words before any interaction."""

from typing import Any

import numpy as np
import torch

from genrec.errors import TrainingError
from genrec.model.plain_text import encode_plain
from genrec.progress import Progress, silent

_BLOCK = 128  # tokens a row
_ROWS = 32  # rows a step


def train_on_text(
    model: Any,
    tokenizer: Any,
    texts: list[str],
    epochs: int,
    seed: int,
    progress: Progress = silent,
    learning_rate: float = 1e-3,
) -> float:
    """Train on all texts, joined by the end-of-text token and cut into blocks; returns the last epoch's mean loss."""
    ids: list[int] = []
    for encoded in encode_plain(tokenizer, texts):
        ids.extend(encoded)
        ids.append(tokenizer.eos_token_id)
    num_blocks = max(1, len(ids) // _BLOCK)
    width = min(_BLOCK, len(ids))
    blocks = torch.tensor(ids[: num_blocks * width]).view(num_blocks, width)
    if width < 2:
        raise TrainingError("base: text_epochs > 0, but the catalogue holds no text to learn from")
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    steps = epochs * -(-num_blocks // _ROWS)
    rng, done = np.random.default_rng(seed), 0
    losses: list[float] = []
    model.train()
    for epoch in range(epochs):
        losses = []
        order = torch.from_numpy(rng.permutation(num_blocks))
        for rows in order.split(_ROWS):
            batch = blocks[rows].to(model.device)
            loss = model(input_ids=batch, labels=batch).loss
            if not torch.isfinite(loss):
                raise TrainingError(f"base: non-finite loss on catalogue text at step {done} (epoch {epoch})")
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            if not torch.isfinite(norm):
                raise TrainingError(f"base: non-finite gradient on catalogue text at step {done} (epoch {epoch})")
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            done += 1
            progress(done, steps, f"text epoch {epoch + 1}", loss=losses[-1])
    model.eval()
    return float(np.mean(losses))
