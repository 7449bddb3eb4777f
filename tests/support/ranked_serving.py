"""A tiny model with a rank artifact behind it, as files to serve."""

import dataclasses
import json
from pathlib import Path

from genrec.config import Config
from genrec.measure.ranked import fit_and_rank
from genrec.serve.model_files import ModelFiles
from tests.support.evaluate_tiny import CONFIG, write_joined_model, write_prepared, write_sid_artifact
from tests.support.rank_tiny import SMALL

CHANNELS = {"generator": 8, "popularity": 8, "itemcf": 8, "transitions": 8}
STEPS = [{"name": "fusion", "options": {"aims": {"novelty": 1.0}, "evaluations": 40}}, "caps"]


def rank_settings(**rank) -> dict:
    """Settings of the stage with few channels and folds."""
    off = dict.fromkeys(Config().rank.channels, 0)
    return {
        "enabled": True,
        "require_gain": False,
        "channels": off | CHANNELS,
        "ranker": {"name": "lambdamart", "options": SMALL["lambdamart"]},
        "num_folds": 2,
        **rank,
    }


def write_ranked(folder: Path, **rank) -> ModelFiles:
    """A model with a dense head and its rank artifact."""
    folder.mkdir()
    prepared, sids = write_prepared(folder / "prepared"), write_sid_artifact(folder / "sids")
    model = write_joined_model(folder / "model", prepared, sids, 0.5, 0.3)
    config = Config(rank=rank_settings(**rank), evaluate=CONFIG.model_dump())
    fit_and_rank(config, prepared, None, sids, None, model, folder / "rank")
    embed = folder / "embed"
    embed.mkdir()
    (embed / "encoder.json").write_text(json.dumps({}))
    return ModelFiles(
        model_key="rl-ranked",
        run_id="20261127-ranked",
        where="run 20261127-ranked, ranked",
        catalogue=prepared / "catalogue.parquet",
        sids=sids,
        model=model,
        base=None,
        embed=embed,
        encoder={"method": "lsa", "fields": ["title"], "options": {}},
        beam_width=6,
        ranking=folder / "rank",
    )


def plain(files: ModelFiles) -> ModelFiles:
    """The same model without its ranking."""
    return dataclasses.replace(files, ranking=None)
