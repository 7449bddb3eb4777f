"""Supervised fine-tuning: the model learns to write the next item's semantic id.

One pass per user: a history's ids in order with a loss at every item (DTI, OneRec-V2), instead of one row per target.
What the model sees at a target is what an evaluation prompt shows: BOS, then the last max_history items.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genrec import tables, variants
from genrec.embed.vectors import read_item_vectors
from genrec.errors import DataError
from genrec.model import adapter, folder, outputs, prefix_tuning
from genrec.model.item_vectors import ItemVectors
from genrec.model.output import Output
from genrec.model.policy import Policy
from genrec.model.precision import compute_dtype, default_device
from genrec.model.transitions import Transitions
from genrec.model.vocab import SidVocabulary
from genrec.progress import Progress, silent
from genrec.search.trie import Trie
from genrec.seeding import seeded
from genrec.tables import read_sids
from genrec.train.sft import code_rows
from genrec.train.sft.alignment import Alignment
from genrec.train.sft.scoring import DEFAULT_SCORE_WEIGHT, choose_scoring
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.warm_start import WarmStart, load_weights
from genrec.train.sft.windows import Windows, make_windows
from genrec.train.validation import Validation

if TYPE_CHECKING:
    from genrec.config import SftConfig


def train_sft(
    prepared: Path,
    sids: Path,
    base: Path,
    config: "SftConfig",
    *,
    vectors: Path | None = None,
    warm_start: WarmStart | None = None,
    max_history: int,
    seed: int,
    work: Path,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Fine-tune `base` and write the model of the best validation, or its adapter, and the training log to `out`.

    `prepared` holds train.parquet and valid.parquet; `sids` is sids.parquet, `vectors` the vectors.parquet
    of the embed stage (for item vectors with text). `warm_start` names an earlier model whose weights are the start
    where the ids are the same. Checkpoints go to `work`, and a rerun
    with the same folder continues where it stopped (on one CPU thread in fp32: to the same bits). Returns a summary.
    Inside a torch.distributed group all processes call this alike; the first one writes.
    Raises DataError for unusable inputs and TrainingError when a loss or gradient is not finite.
    """
    table = read_sids(sids).astype(np.int64)
    device = default_device()
    with seeded(seed):
        policy = load_policy(base, config, max_history, seed, device)
        text = _text_vectors(vectors, config)
        if config.sid_rows == "vectors" and text is not None:
            code_rows.initialise(policy, table, text, seed)
        add_items(policy, table, text, config)
        warm = {}
        if warm_start is not None:
            warm = {"warm_share": load_weights(policy, warm_start, tables.CATALOGUE_FILE.path(prepared))}
        trie = Trie.from_sids(table, policy.vocab.num_codes, device)
        windows = read_windows(tables.TRAIN_FILE.path(prepared), max_history)
        validation = Validation(tables.VALID_FILE.path(prepared), config.max_valid_users, trie, table)
        alignment = None
        if config.alignment.total:
            alignment = Alignment.load(policy, base, tables.CATALOGUE_FILE.path(prepared), table, config.alignment)
        trainer = Trainer(policy, windows, table, config, seed, alignment if alignment and alignment.names else None)
        trainer.fit(validation, work, progress)
    state = trainer.state
    state.restore_best(trainer.parameters, otherwise=state.average.tensors)
    trainer.sharding.gather()
    if not trainer.group.first:
        return {}
    if policy.items is not None:
        policy.items.forget_unseen(windows.items)
    if config.dense_head.successor_share != 0 and policy.items is not None:
        policy.items.transitions = count_transitions(tables.TRAIN_FILE.path(prepared), len(table), config).to(device)
    dense = choose_scoring(policy, config, validation)
    policy.save(out, kind="sft", adapter=config.adapter)
    state.write_log(out)
    return {
        "windows": len(windows),
        "targets": windows.num_targets,
        "epochs": state.epoch,
        "steps": state.step,
        "stop_reason": state.stop_reason,
        "best_epoch": round(state.best_epoch),
        "valid_users": len(validation),
        "valid_hr@10": dense.get("valid_hr@10", state.best_hr) if len(validation) else None,
        "valid_ndcg@10": dense.get("valid_ndcg@10", state.best_ndcg) if len(validation) else None,
        "trainable_share": adapter.trainable_share(policy.model),
        "weight_bytes": adapter.weight_bytes(policy.model),
        **({"peak_gpu_bytes": torch.cuda.max_memory_allocated()} if device.type == "cuda" else {}),
        **({"dense_head": dense} if dense else {}),
        **({"alignment_items": alignment.num_items} if alignment else {}),
        **({"warnings": alignment.warnings} if alignment and alignment.warnings else {}),
        **warm,
    }


def _text_vectors(path: Path | None, config: "SftConfig") -> np.ndarray | None:
    """float32 [N, V] where the config needs them. Raises DataError when it does and there is no file."""
    wants = {
        "sft.sid_rows": config.sid_rows == "vectors",
        "sft.item_vectors.text": config.item_vectors.text and _needs_items(config),
    }
    name = next((name for name, wanted in wants.items() if wanted), None)
    if name is None:
        return None
    if path is None:
        raise DataError(f"{name} needs the vectors of the embed stage; pass them or choose another value")
    return read_item_vectors(path)


def _needs_items(config: "SftConfig") -> bool:
    return config.dense_head.loss_weight > 0 or config.view.name == "item_tokens" or _output(config).needs_items


def _output(config: "SftConfig") -> Output:
    module, options = variants.build(outputs.PACKAGE, config.output.name, config.output.options)
    return module.Output(options)


def add_items(policy: Policy, sids: np.ndarray, text: np.ndarray | None, config: "SftConfig") -> None:
    """Give the policy its history view, its output and, where one of them or a dense head needs them, vectors of the items.

    `sids` int64[N, L], `text` float32[N, V]; weights come from torch's current random state.
    """
    has_dense = config.dense_head.loss_weight > 0
    items = None
    if _needs_items(config):
        width = policy.causal_model.config.hidden_size
        items = ItemVectors(
            sids,
            policy.vocab.num_codes,
            width,
            text if config.item_vectors.text else None,
            config.item_vectors.ids,
            nodes=_output(config).inner_nodes,
        )
    weight = config.dense_head.score_weight
    policy.use_items(
        items,
        config.view.name,
        config.view.options,
        (DEFAULT_SCORE_WEIGHT if weight is None else weight) if has_dense else None,
        {"name": config.output.name, "options": config.output.options},
    )


def count_transitions(path: Path, num_items: int, config: "SftConfig") -> Transitions:
    """The transition table of the training sequences in train.parquet."""
    head = config.dense_head
    items, offsets = read_sequences(path)
    return Transitions.count(
        items, offsets, num_items, window=head.successor_window, history_decay=head.successor_decay
    )


def read_windows(path: Path, max_history: int) -> Windows:
    """Training windows of train.parquet. Raises DataError when there is no sequence."""
    return make_windows(*read_sequences(path), max_history)


def read_sequences(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The sequences of train.parquet, flat, and their offsets. Raises DataError when there is none."""
    column = tables.read_table(path, tables.SEQUENCES, columns=["items"])["items"].combine_chunks()
    items = column.flatten().to_numpy()
    if not len(items):
        raise DataError(f"{path}: no training sequences; lower prepare.k_core or check the data")
    lengths = column.value_lengths().to_numpy()
    return items, np.concatenate([[0], np.cumsum(lengths)])


def load_policy(base: Path, config: "SftConfig", max_history: int, seed: int, device: torch.device) -> Policy:
    """The base model ready to be trained: all weights, or a fresh adapter on frozen (perhaps 4-bit) weights."""
    if config.adapter == "full":
        return Policy.load(base, device=device, max_history=max_history)
    meta = folder.read_meta(base)
    # Frozen weights may be stored in half precision; the adapter's own stay in fp32.
    dtype = compute_dtype(config.precision, device, "sft.precision")
    frozen = folder.load_causal_model(base, device, dtype, quantize=config.adapter == "qlora")
    vocab = folder.vocabulary(meta)
    model = attach_adapter(frozen, vocab, config, seed)
    return Policy(model, vocab, max_history, {**meta, "adapter": config.adapter}, base)


def attach_adapter(model: Any, vocab: SidVocabulary, config: "SftConfig", seed: int) -> Any:
    """A frozen model with the fresh adapter that is asked for."""
    if config.adapter == "ptuning_v2":
        return prefix_tuning.attach(
            model, vocab, positions=config.prefix_tokens, projection=config.prefix_projection, seed=seed
        )
    return adapter.attach(
        model,
        vocab,
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        dropout=config.lora_dropout,
        seed=seed,
        targets=config.lora_targets,
    )
