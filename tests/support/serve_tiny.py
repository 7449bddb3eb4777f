"""A tiny model with everything a score is made of, over a catalogue of 30 items, behind an engine."""

import dataclasses
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from genrec import tables
from genrec.embed.encoders import lsa
from genrec.embed.vectors import read_item_vectors, write_item_vectors
from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.model.transitions import Transitions
from genrec.serve.catalogue import Catalogue
from genrec.serve.engine import Engine
from genrec.serve.model_files import ModelFiles
from genrec.serve.new_items import NewItemIds
from genrec.sid.artifact import code_lists, write_sids
from genrec.sid.quantize.tokenizer import Tokenizer
from genrec.sid.tokenizer_files import save_tokenizer
from genrec.sid.unique import make_unique
from genrec.store.local import Store
from tests.support.lm_tiny import NUM_CODES, random_histories, random_sids, tiny_policy

NUM_ITEMS, TEXT_DIM = 30, 6
CATEGORIES = ("garden", "kitchen", "office")
SIDS = random_sids(NUM_ITEMS, seed=1)


def whole_policy(seed: int = 0, sids: np.ndarray = SIDS, text: np.ndarray | None = None) -> Policy:
    """Item tokens, prefixes, a dense head and transitions, with random weights and, by default, random texts."""
    policy = tiny_policy(seed)
    if text is None:
        text = np.random.default_rng(seed).standard_normal((NUM_ITEMS, TEXT_DIM)).astype(np.float32)
    items = ItemVectors(sids, NUM_CODES, 16, text, ids=True, nodes=True)
    with torch.no_grad():
        for parameter in items.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    sequences = random_histories([6] * 20, NUM_ITEMS, seed)
    offsets = np.arange(0, 121, 6)
    items.transitions = Transitions.count(np.concatenate(sequences), offsets, NUM_ITEMS, window=3, history_decay=0.5)
    items.requires_grad_(False)
    policy.use_items(items, "item_tokens", {}, 0.6, {"name": "prefixes", "options": {}})
    policy.transition_share = 0.5
    return policy


def catalogue() -> Catalogue:
    """Items i0, i1, ... of categories in turn; item i was met i % 7 times."""
    ids = [f"i{item}" for item in range(NUM_ITEMS)]
    categories = [["shop", CATEGORIES[item % 3]] for item in range(NUM_ITEMS)]
    counts = np.arange(NUM_ITEMS) % 7
    return Catalogue(
        ids, [f"Item {i}" for i in range(NUM_ITEMS)], ["b"] * NUM_ITEMS, categories, SIDS, NUM_CODES, counts
    )


def engine(seed: int = 0, beam_width: int = 6, policy: Policy | None = None) -> Engine:
    return Engine(policy or whole_policy(seed), catalogue(), "sft-tiny", beam_width=beam_width)


class FixedIds(NewItemIds):
    """Random vectors, and the first ids that are free."""

    def __init__(self) -> None:
        pass

    def give(self, items, taken):
        used = {tuple(sid) for sid in taken.tolist()}
        free = [sid for sid in np.ndindex(NUM_CODES, NUM_CODES, NUM_CODES) if sid not in used]
        vectors = np.random.default_rng(len(items)).standard_normal((len(items), TEXT_DIM)).astype(np.float32)
        return vectors, np.array(free[: len(items)], dtype=np.int32)


WORDS = (("red", "blue", "green"), CATEGORIES, ("hose", "lamp", "cup", "chair"))
ITEM_IDS = [f"B{item:07d}" for item in range(NUM_ITEMS)]  # as the built-in shop calls its own
TITLES = [" ".join(words) for words in itertools.product(*WORDS)][:NUM_ITEMS]


def write_ids(folder: Path) -> tuple[Path, Path, np.ndarray]:
    """Folders of a sid and an embed artifact for `TITLES`, and the ids int32[N, 3]."""
    encoder, sids = folder / "embed", folder / "sid"
    encoder.mkdir(parents=True)
    sids.mkdir()
    vectors, model = lsa.fit(TITLES, lsa.Config(dim=TEXT_DIM))
    assert model is not None
    model.save(encoder)
    write_item_vectors(vectors, encoder / "vectors.parquet")
    codebooks = 0.3 * torch.randn(3, NUM_CODES, TEXT_DIM, generator=torch.Generator().manual_seed(0))
    tokenizer = Tokenizer(codebooks, torch.device("cpu"))
    raw = tokenizer.encode(vectors)
    final = make_unique(raw, tokenizer.project(vectors), tokenizer.codebooks, "reassign")
    save_tokenizer(tokenizer, "rqkmeans", sids, deduplicate="reassign", input_dim=TEXT_DIM)
    write_sids(final, raw, sids / "sids.parquet")
    return sids, encoder, final


def write_known(sids: Path, every: np.ndarray) -> None:
    """Every id that was ever given, those of items that are gone among them: int32[N, 3]."""
    columns = [
        pa.array([f"k{i}" for i in range(len(every))]),
        *[code_lists(every)] * 2,
        pa.nulls(len(every), pa.float64()),
    ]
    schema = tables.known_ids_schema(3, 3)
    tables.KNOWN_IDS_FILE.write(pa.table(columns, names=schema.names), sids, schema)


def write_files(folder: Path, policy: Policy | None = None, item_ids: list[str] | None = None) -> ModelFiles:
    """Artifacts of a whole model for `TITLES`; by default the items are called i0, i1, ..."""
    sids, encoder, ids = write_ids(folder)
    policy = policy or whole_policy(sids=ids, text=read_item_vectors(encoder / "vectors.parquet"))
    policy.save(folder / "model")
    prepared = folder / "prepare"
    prepared.mkdir()
    columns = {
        "item": np.arange(NUM_ITEMS),
        "item_id": item_ids or [f"i{item}" for item in range(NUM_ITEMS)],
        "title": TITLES,
        "description": [""] * NUM_ITEMS,
        "brand": ["b"] * NUM_ITEMS,
        "categories": [["shop", title.split()[1]] for title in TITLES],
        "train_count": np.arange(NUM_ITEMS) % 7,
    }
    tables.CATALOGUE_FILE.write(pa.table(columns), prepared)
    return ModelFiles(
        model_key="sft-tiny",
        run_id="20261126-tiny",
        where="run 20261126-tiny",
        catalogue=prepared / "catalogue.parquet",
        sids=sids,
        model=folder / "model",
        base=folder / "model",
        embed=encoder,
        encoder={"method": "lsa", "fields": ["title"], "options": {"dim": TEXT_DIM}},
        beam_width=6,
    )


def with_base(files: ModelFiles, base: Path) -> ModelFiles:
    """The same model with its base in another folder."""
    return dataclasses.replace(files, base=base)


def write_store(folder: Path, *runs: str) -> Store:
    """A store with finished runs that share their artifacts but the model; the last one is the latest."""
    store = Store(folder)
    for number, run in enumerate(runs):
        with store.scratch() as made:
            files = write_files(made, None if number == 0 else tiny_policy(number), ITEM_IDS)
            folders = {"prepare": files.catalogue.parent, "embed": files.embed, "sid": files.sids, "base": files.model}
            stages = [
                _commit(store, f"{stage}-{number if stage in ('base', 'sft') else 0}", stage, path)
                for stage, path in {**folders, "sft": files.model}.items()
            ]
        config = {
            "evaluate": {"beam_width": 6, "precision": "fp32"},
            "embed": dict(files.encoder),
            "base": {"model": "scratch"},
        }
        report = {"run_id": run, "name": "tiny", "stages": stages, "config": config}
        store.write_document(f"runs/{run}/report.json", json.dumps(report))
        store.finish_run(run)
    return store


def stop_early(store: Store, run: str) -> None:
    """The report of a run that ended after the stage prepare; it is the latest."""
    report = {"run_id": run, "name": "tiny", "stages": [{"name": "prepare", "key": "prepare-0", "digest": "0"}]}
    (store.run_path(run) / "report.json").write_text(json.dumps(report))
    store.finish_run(run)


def _commit(store: Store, key: str, stage: str, files: Path) -> dict[str, str]:
    with store.scratch() as folder:
        shutil.copytree(files, folder, dirs_exist_ok=True)
        config = {"method": "lsa", "fields": ["title"]} if stage == "embed" else {}
        artifact = store.commit(key, stage, folder, version=1, config_slice=config, inputs={}, summary={}, seconds=1.0)
    return {"name": stage, "key": key, "digest": artifact.digest}
