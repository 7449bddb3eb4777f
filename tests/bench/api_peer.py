"""The usual way to serve such a model: FastAPI, and transformers' `generate` with a prefix function, a request at a time
in FastAPI's thread pool.

    python -m tests.bench.api_peer FOLDER --port 8001

The same transformer reads the same prompts of item vectors, with 20 beams over the whole vocabulary; the dense head, the
transition table and the items already seen are left out, which makes its work less than the endpoint's.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from genrec.serve.recommender import Recommender
from tests.bench.api_model import load


class Body(BaseModel):
    history: list[str]
    k: int = 10


class UsualWay:
    """A model whose lists come from `generate`."""

    def __init__(self, recommender: Recommender) -> None:
        engine = recommender.engine
        self._policy, self._catalogue, self._width = engine.policy, engine.catalogue, engine.beam_width
        tokens = self._policy.vocab.token_ids(self._catalogue.sids).tolist()
        self._items = {tuple(row): item for item, row in enumerate(tokens)}
        follow: dict[tuple[int, ...], set[int]] = {}
        for row in tokens:
            for level in range(len(row)):
                follow.setdefault(tuple(row[:level]), set()).add(row[level])
        self._follow = {prefix: sorted(codes) for prefix, codes in follow.items()}
        self._num_levels = len(tokens[0])

    def recommend(self, history: list[str], k: int) -> list[dict[str, Any]]:
        """The k best items, at most as many as there are beams."""
        catalogue = self._catalogue
        items: list[np.ndarray | list[int]] = [catalogue.numbers(history)]
        half = self._policy.search_dtype == torch.bfloat16  # as the endpoint takes its products
        with torch.no_grad(), torch.autocast(self._policy.device.type, torch.bfloat16, enabled=half):
            prompts = self._policy.prompts(items, catalogue.sids)
            rows = self._policy.model.generate(
                inputs_embeds=self._policy.prompt_embeds(prompts),
                attention_mask=prompts.attention_mask,
                num_beams=self._width,
                num_return_sequences=k,
                min_new_tokens=self._num_levels,
                max_new_tokens=self._num_levels,
                do_sample=False,
                length_penalty=0.0,
                prefix_allowed_tokens_fn=lambda _, ids: self._follow[tuple(ids.tolist())],
            )
        found = [self._items[tuple(row)] for row in rows.tolist()]
        return [{"item_id": catalogue.item_ids[item], "title": catalogue.titles[item]} for item in found]


def build(folder: Path) -> FastAPI:
    """The application."""
    model = UsualWay(load(folder))
    app = FastAPI()

    @app.post("/v1/recommend")
    def recommend(body: Body) -> dict[str, Any]:
        return {"items": model.recommend(body.history, body.k)}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    uvicorn.run(build(arguments.folder), port=arguments.port, access_log=False)


if __name__ == "__main__":
    main()
