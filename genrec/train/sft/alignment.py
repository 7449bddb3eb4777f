"""Alignment of semantic ids with text: the same model writes an item's title from its id, and its id from text.

For pretrained bases, which know words and must learn what the new tokens stand for (LC-Rec, arXiv 2311.09049, section
3.3; MiniOneRec). Text of every catalogue item may be used, cold ones too: no interaction is looked at. An objective for
which no item has a text is left out, and recommending keeps its weight.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from genrec import tables
from genrec.model import folder
from genrec.model.plain_text import encode_plain
from genrec.model.policy import Policy

if TYPE_CHECKING:
    from genrec.config import AlignmentConfig

# Words before and after the id or text of a question.
_WORDS = {
    "sid_to_title": ("Which product is ", "? Its title: "),
    "title_to_sid": ("Which product has the title ", "? Its id: "),
    "description_to_sid": ("Which product is described by ", "? Its id: "),
}
_TEXTS = {"sid_to_title": "title", "title_to_sid": "title", "description_to_sid": "description"}


class Alignment:
    """Rows of the three objectives, tokenised once, and their loss for a random draw of them.

    `total` is the weight of those that some item has a text for; `num_items` says by objective how many have.
    """

    def __init__(
        self,
        policy: Policy,
        tokenizer: Any,
        titles: list[str],
        descriptions: list[str],
        sids: np.ndarray,
        config: "AlignmentConfig",
    ) -> None:
        """`tokenizer` is the base model's; `titles` and `descriptions` are the catalogue's, row i being item i.

        `sids` int64[N, L].
        """
        self.policy, self.config = policy, config
        self._sids = sids
        texts = {"sid_to_title": titles, "title_to_sid": titles, "description_to_sid": descriptions}
        asked = {name: weight for name in _WORDS if (weight := getattr(config, name)) > 0}
        self._items = {name: np.flatnonzero([bool(t.strip()) for t in texts[name]]) for name in asked}
        self.num_items = {name: len(items) for name, items in self._items.items()}
        self._weights = {name: weight for name, weight in asked.items() if self.num_items[name]}
        self.total = sum(self._weights.values())
        self._words = {n: tokenizer(list(_WORDS[n]), add_special_tokens=False)["input_ids"] for n in _WORDS}
        self._end = int(tokenizer.eos_token_id)
        self._tokens: dict[str, list[list[int]]] = {}
        for name in self._weights:
            self._tokens[name] = [ids[: config.max_text_tokens] for ids in encode_plain(tokenizer, texts[name])]

    @classmethod
    def load(
        cls, policy: Policy, base: Path, catalogue: Path, sids: np.ndarray, config: "AlignmentConfig"
    ) -> "Alignment":
        """From the base model's folder and catalogue.parquet."""
        tokenizer = folder.load_tokenizer(base)
        table = tables.read_table(catalogue, columns=["title", "description"])
        return cls(policy, tokenizer, table["title"].to_pylist(), table["description"].to_pylist(), sids, config)

    def losses(self, rng: np.random.Generator) -> torch.Tensor:
        """The weighted loss of each objective that has a weight, for `batch_size` items of each that `rng` draws.

        Text costs nats a token, an id nats an item (as in recommending). float32[number of objectives].
        """
        values = []
        for name, weight in self._weights.items():
            items = rng.choice(
                self._items[name], size=min(self.config.batch_size, len(self._items[name])), replace=False
            )
            loss = self._title_loss(items) if name == "sid_to_title" else self._sid_loss(name, items)
            values.append(weight * loss)
        return torch.stack(values)

    @property
    def names(self) -> list[str]:
        """The objectives of `losses`, in its order."""
        return list(self._weights)

    @property
    def warnings(self) -> list[str]:
        """A sentence on each objective that was asked for and that no item has a text for."""
        return [
            f"sft.alignment.{name} was left out: none of the {len(self._sids):,} items of the catalogue has a "
            f"{_TEXTS[name]}; recommending took over its weight of {getattr(self.config, name):g}"
            for name, count in self.num_items.items()
            if not count
        ]

    def _title_loss(self, items: np.ndarray) -> torch.Tensor:
        before, after = self._words["sid_to_title"]
        tokens = self.policy.vocab.token_ids(self._sids[items]).tolist()
        asked = [[*before, *sid, *after] for sid in tokens]
        answers = [[*self._tokens["sid_to_title"][item], self._end] for item in items]
        inputs, places, labels = self._rows(asked, answers)
        with self.policy.precision():
            hidden = self.policy.body(input_ids=inputs, use_cache=False).last_hidden_state.flatten(0, 1)
            logits = self.policy.causal_model.get_output_embeddings()(hidden[places])
        return functional.cross_entropy(logits.float(), labels)

    def _sid_loss(self, name: str, items: np.ndarray) -> torch.Tensor:
        before, after = self._words[name]
        asked = [[*before, *self._tokens[name][item], *after] for item in items]
        codes = torch.from_numpy(self._sids[items]).to(self.policy.device)
        inputs, places, _ = self._rows(asked, self.policy.vocab.token_ids(self._sids[items]).tolist())
        with self.policy.precision():
            hidden = self.policy.body(input_ids=inputs, use_cache=False).last_hidden_state.flatten(0, 1)
            logits = self.policy.code_logits(hidden[places].view(*codes.shape, -1), codes)
        losses = functional.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none")
        return losses.view_as(codes).sum(1).mean()

    def _rows(
        self, asked: list[list[int]], answers: list[list[int]]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """BOS, question and answer as int64[B, T], padded on the right (where nothing real can see it); the n places among
        B * T that predict an answer's token, and these tokens, int64[n] each. Found here: a device would have to be waited for.
        """
        rows = [[self.policy.vocab.bos_token_id, *q, *a] for q, a in zip(asked, answers, strict=True)]
        width = max(map(len, rows)) - 1  # the last token is never an input
        inputs = np.full((len(rows), width), self.policy.vocab.pad_token_id, dtype=np.int64)
        places: list[int] = []
        for i, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            inputs[i, : len(row) - 1] = row[:-1]
            places += range(i * width + len(row) - 1 - len(answer), i * width + len(row) - 1)
        labels = [token for answer in answers for token in answer]
        arrays = (inputs, np.array(places, dtype=np.int64), np.array(labels, dtype=np.int64))
        first, second, third = (torch.from_numpy(array).to(self.policy.device) for array in arrays)
        return first, second, third
