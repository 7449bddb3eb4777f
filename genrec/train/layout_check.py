"""Whether search and training can work with a base model: their forward layout is tried on it, and its numbers compared.

`genrec.search.layout` calls the layers of a model one by one, as Qwen2 and Llama are built. Another architecture may lack
a part, and then fails hours later, or have one more (Qwen3 normalises queries and keys), and then is computed wrongly.
"""

from typing import Any

import torch

from genrec.errors import ConfigError
from genrec.search.layout import Siblings

_TOLERANCE = 0.1  # of the norm; rounding of bfloat16 gives a hundredth, a part that is left out several tenths


@torch.no_grad()
def check_layout(model: Any, name: str) -> None:
    """Search two prompts of 3 and 5 tokens two tokens deep, and compare with each continuation computed alone.

    Raises ConfigError naming the architecture where the layout cannot be computed or gives other states.
    """
    try:
        error = _largest_error(model)
    except Exception as problem:  # of whatever kind: the model's code is called in a way it may not be made for
        reason = f"{type(problem).__name__}: {problem}".splitlines()[0]
        raise ConfigError(_message(name, model, f"its layers cannot be computed one by one ({reason})")) from problem
    if not error < _TOLERANCE:
        raise ConfigError(_message(name, model, f"its layers, computed one by one, give other states (by {error:.0%})"))


def _message(name: str, model: Any, reason: str) -> str:
    return (
        f"base.model: {name!r} is a {type(model).__name__}, which search and training cannot work with: {reason}; "
        "choose a model of the Qwen2 or Llama architecture, or `scratch`"
    )


def _largest_error(model: Any) -> float:
    """The largest relative difference between the states of the layout and those of a plain forward."""
    was_training = model.training
    model.eval()
    try:
        body = model.base_model
        size, device = model.get_input_embeddings().num_embeddings, model.device
        tokens = (torch.arange(1, 17, device=device) * 7919) % size  # some that differ
        prompts = torch.stack([tokens[:5], tokens[5:10]])
        mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], device=device)
        searched = Siblings(body, model.get_input_embeddings()(prompts), mask)
        first, second = tokens[10:14].view(2, 2), tokens[12:16].view(2, 2)
        parents = torch.tensor([[0, 0], [0, 1]], device=device)
        after_prompt = searched.last_hidden[:, None].expand(-1, 2, -1)
        after_first = searched.extend(first, torch.zeros_like(first))
        found = [after_prompt, after_first, searched.extend(second, parents)]
        errors = []
        for row in range(2):
            prompt = prompts[row][mask[row].bool()]
            for beam in range(2):
                parent = first[row, parents[row, beam]]
                lone = [prompt, torch.cat([prompt, first[row, beam, None]])]
                lone.append(torch.cat([prompt, parent[None], second[row, beam, None]]))
                for states, ids in zip(found, lone, strict=True):
                    plain = body(input_ids=ids[None], use_cache=False).last_hidden_state[0, -1].float()
                    errors.append(((states[row, beam].float() - plain).norm() / plain.norm()).item())
        return max(errors)
    finally:
        model.train(was_training)
