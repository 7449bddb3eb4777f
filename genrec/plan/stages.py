"""The stages of a config that hold a language model, each run once in its fullest case on the device that is not there."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from genrec import variants
from genrec.config import Config, RewardConfig, RlConfig
from genrec.model.policy import Policy
from genrec.model.precision import frozen_dtype
from genrec.plan import memory, models, steps
from genrec.plan.device import absent_gpu
from genrec.plan.gpus import Gpu, needed
from genrec.plan.memory import Memory
from genrec.plan.shapes import ModelShape, shape_of
from genrec.plan.sharding import Layers
from genrec.plan.work import Work, histories, semantic_ids, word_tokenizer
from genrec.search.trie import Trie
from genrec.train.rl import algorithms
from genrec.train.rl.prompts import PromptSet
from genrec.train.rl.rewarding import build_terms
from genrec.train.sft.alignment import Alignment
from genrec.train.sft.windows import make_windows
from genrec.train.validation import BEAM_WIDTH

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_VALIDATION_BATCH = 256  # of `rank_users`
_LSA_WIDTH = 256  # of text vectors that no transformer makes, about


@dataclass(frozen=True)
class Process:
    """One process on the device: bytes by kind at its peak."""

    name: str
    kinds: dict[str, int]
    layers: Layers = Layers()  # noqa: RUF009  frozen

    @property
    def peak(self) -> int:
        return sum(self.kinds.values())


@dataclass(frozen=True)
class Part:
    """Work of a stage: tokens, floating-point operations, and which measured use of a GPU tells its time."""

    name: str
    tokens: float
    operations: float
    precision: str
    use: str  # a name of `genrec.plan.report.MFU`


@dataclass(frozen=True)
class Stage:
    """`setting` is what its memory goes with, at the value `batch`; `shared` is what several processes share a step of."""

    name: str
    processes: list[Process]
    parts: list[Part]
    setting: str
    batch: int
    shared: int = 0
    notes: list[str] = field(default_factory=list)


class Stages:
    """Measures the stages of a config for data of a size."""

    def __init__(self, config: Config, work: Work, gpu: Gpu) -> None:
        """`gpu` is what micro-batches are chosen for where the config leaves them to the memory."""
        self.config, self.work, self.gpu = config, work, gpu
        self._valid: dict[str, tuple[float, float, dict[str, int]]] = {}  # by precision; see `_validation`
        self.sids = semantic_ids(work, config.sid.total_levels, config.sid.num_codes)

    @cached_property
    def base(self) -> ModelShape:
        return shape_of("base.model", self.config.base.model, self.config.base.revision, self.config.base.scratch)

    @cached_property
    def encoder(self) -> ModelShape | None:
        """The model of the embed stage, where that has one."""
        options = self.config.embed.options
        if self.config.embed.method != "transformer":
            return None
        return shape_of("embed.options.model", options["model"], options.get("revision"))

    def embed(self, batch_tokens: int | None = None) -> Stage | None:
        """None where no language model makes the vectors."""
        if self.encoder is None:
            return None
        config, work = self.config.embed, self.work
        batch = batch_tokens or config.batch_tokens
        _, options = variants.build("genrec.embed.encoders", config.method, config.options)
        length = min(work.text_tokens, options.max_tokens)
        rows = 2 * max(1, batch // length)  # two batches are on their way at a time
        stored = getattr(self.encoder.config, "dtype", None)
        dtype = {"auto": stored or torch.float32}.get(options.dtype) or getattr(torch, options.dtype)
        dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        with _counting(self.work.items) as (device, counted):
            model = models.encoder(self.encoder.config, device, dtype)
            steps.encode(counted, model, [[1] * length] * rows, options, batch, str(device))
            process = Process("embed", counted.peak)
            operations = counted.operations / rows
        precision = "fp32" if dtype == torch.float32 else "bf16"
        part = Part("texts", work.items * length, work.items * operations, precision, "embed")
        return Stage("embed", [process], [part], "embed.batch_tokens", batch)

    def sft(self, micro_batch: int | None = None) -> Stage:
        """A step of training, then the search of a validation, in one process."""
        config, work = self.config.sft, self.work
        asked = micro_batch or config.micro_batch_size
        changed = config.model_copy(update={"micro_batch_size": asked, "compile": False})
        compute = _TYPES[config.precision]
        with _counting(self.work.items) as (device, counted):
            policy = self._policy(device, compute, "training")
            data = np.concatenate(histories(work, work.users))
            windows = make_windows(data, np.arange(work.users + 1) * (work.history + 1), work.history)
            room = steps.Room(counted, self.gpu.memory_bytes - needed(0))
            made = steps.trainer(counted, policy, windows, self.sids, changed, self._alignment(policy), room)
            micro = made.micro_batch.size
            rows = min(config.batch_size, 2 * micro, work.users)
            steps.train(counted, made, np.arange(rows))
            step, peaks = float(counted.operations), [counted.peak]
            if 1 < rows < config.batch_size:  # what a step does of texts is the same for any number of windows
                steps.train(counted, made, np.arange(1))
                step += (step - counted.operations) / (rows - 1) * (config.batch_size - rows)
            peaks.append(self._validation(counted, policy, config.precision))
            process = Process("training", max(peaks, key=lambda kinds: sum(kinds.values())), _layers(policy))
            num_steps, tokens = made.total_steps, len(policy.opening) + (work.history + 1) * self.sids.shape[1] - 1
        num_users = min(work.users, config.max_valid_users)
        use = "compiled training" if config.compile else "training"
        parts = [
            Part("training", num_steps * config.batch_size * tokens, num_steps * step, config.precision, use),
            self._lists("validation", config.epochs * num_users, self._valid[config.precision][:2], config.precision),
        ]
        notes = ["layers as they are: compiled ones keep less"] if config.compile else []
        return Stage("sft", [process], parts, "sft.micro_batch_size", micro, config.batch_size, notes)

    def rl(self, micro_batch: int | None = None) -> Stage:
        """An update and the search of a validation in one process, the candidates of a chunk in another or the same."""
        config = self.config.rl
        algorithm, options = variants.build(algorithms.PACKAGE, config.algorithm, config.options)
        # Draws take the same tensors, and a generator; a teacher takes tables of what was counted in data.
        mode = config.rollout.model_copy(update={"mode": "beam"})
        plain: dict[str, Any] = (
            {"algorithm": "grpo", "options": {}} if algorithm.NEEDS_TEACHER else {"options": config.options}
        )
        plain["options"] = {**plain["options"], "inner_steps": 1}
        asked = {"micro_batch_size": micro_batch or config.micro_batch_size, "rollout": mode, **plain}
        changed = config.model_copy(update=asked)
        rollout, generated = self._rollout(changed)
        beside = [rollout] if config.num_rollout_workers > 0 else []
        with _counting(self.work.items) as (device, counted):
            policy = self._policy(device, _TYPES[config.precision], "training")
            policy.model.eval()
            room = steps.Room(counted, self.gpu.memory_bytes - needed(0) - needed(*(p.peak for p in beside)))
            terms = build_terms([RewardConfig(name="exact_hit")])  # whatever they are: a few numbers a candidate
            made = steps.learner(counted, policy, self.sids, changed, terms, self._prompts(1), room)
            micro = made.micro_batch.size
            count = min(config.prompts_per_step, 2 * micro)
            steps.update(counted, made, self._prompts(count))
            update = (counted.judging + options.inner_steps * (counted.operations - counted.judging)) / count
            peaks = [counted.peak, self._validation(counted, policy, config.precision)]
            if not beside:
                peaks.append({**rollout.kinds, **{kind: counted.now[kind] for kind in memory.LASTING}})
            learner = Process("learner", max(peaks, key=lambda kinds: sum(kinds.values())), _layers(policy))
            tokens = self._prompt_tokens(policy) + config.group_size * (self.sids.shape[1] - 1)
        num_prompts = config.num_steps * config.prompts_per_step
        num_users = (1 + config.num_steps // config.eval_every) * min(self.work.users, config.max_valid_users)
        use = "compiled updates" if config.compile else "updates"
        parts = [
            Part("rollout", num_prompts * tokens, num_prompts * generated, config.precision, "search"),
            Part("updates", num_prompts * tokens * options.inner_steps, num_prompts * update, config.precision, use),
            self._lists("validation", num_users, self._valid[config.precision][:2], config.precision),
        ]
        notes = ["layers as they are: compiled ones keep less"] if config.compile else []
        notes += [f"{config.algorithm} without its teacher"] if algorithm.NEEDS_TEACHER else []
        return Stage("rl", [learner, *beside], parts, "rl.micro_batch_size", micro, config.prompts_per_step, notes)

    def _rollout(self, config: RlConfig) -> tuple[Process, float]:
        """A worker that generates, and its operations for a prompt. It keeps its searches as CUDA graphs: what one of them
        takes stays taken.
        """
        chunk = min(config.rollout.chunk_size, config.prompts_per_step)
        with _counting(self.work.items) as (device, counted):
            policy = self._policy(device, _TYPES[config.precision], "training")
            trie = Trie.from_sids(self.sids, policy.vocab.num_codes, device)
            steps.rollout(counted, policy, trie, self.sids, config, self._prompts(chunk))
            taken = sum(size for kind, size in counted.peak.items() if kind not in memory.LASTING)
            return Process("rollout", {**counted.peak, memory.GRAPHS: taken}), counted.operations / chunk

    def _validation(self, counted: Memory, policy: Policy, precision: str) -> dict[str, int]:
        """The peak of a search in the process that trains, which is the same in every stage but for what lasts there."""
        if precision not in self._valid:
            trie = Trie.from_sids(self.sids, policy.vocab.num_codes, policy.device)
            search = self._search(counted, policy, trie)
            self._valid[precision] = (*search, counted.peak)
        return {**self._valid[precision][2], **{kind: counted.now[kind] for kind in memory.LASTING}}

    def evaluate(self, batch_size: int | None = None) -> Stage:
        """Lists of sft and of rl, with the seen items dropped and kept."""
        config, work = self.config.evaluate, self.work
        batch = batch_size or config.batch_size
        with _counting(self.work.items) as (device, counted):
            compute = frozen_dtype(_TYPES[config.precision], device)
            policy = self._policy(device, compute, "search")
            trie = Trie.from_sids(self.sids, policy.vocab.num_codes, device)
            search = self._search(counted, policy, trie, config.beam_width, batch)
            process = Process("evaluate", counted.peak)
        part = self._lists("lists", 4 * work.users, search, config.precision)
        return Stage("evaluate", [process], [part], "evaluate.batch_size", batch)

    def _policy(self, device: torch.device, compute: torch.dtype, use: Any) -> Policy:
        width = _LSA_WIDTH if self.encoder is None else int(self.encoder.config.get_text_config().hidden_size)
        return models.policy(
            self.base,
            self.config.sft,
            self.sids,
            self.config.sid.num_codes,
            width,
            self.work.history,
            device,
            compute,
            use,
        )

    def _alignment(self, policy: Policy) -> Alignment | None:
        """With texts as long as those that are read."""
        config = self.config.sft.alignment
        if not config.total:
            return None
        texts = [" ".join(["word"] * config.max_text_tokens)] * len(self.sids)
        return Alignment(policy, word_tokenizer(), texts, texts, self.sids, config)

    def _prompts(self, count: int) -> PromptSet:
        rows = np.stack(histories(self.work, count))
        return PromptSet(np.arange(count), list(rows[:, :-1]), rows[:, -1])

    def _search(
        self,
        counted: Memory,
        policy: Policy,
        trie: Trie,
        width: int = BEAM_WIDTH,
        batch: int = _VALIDATION_BATCH,
    ) -> tuple[float, float]:
        """Operations and tokens of a list."""
        read = [rows[:-1] for rows in histories(self.work, 2 * batch)]  # two batches are on their way at a time
        steps.search(counted, policy, trie, self.sids, read, width, batch)
        return counted.operations / len(read), self._prompt_tokens(policy) + width * (self.sids.shape[1] - 1)

    def _lists(self, name: str, count: float, search: tuple[float, float], precision: str) -> Part:
        operations, tokens = search
        return Part(name, count * tokens, count * operations, precision, "search")

    def _prompt_tokens(self, policy: Policy) -> int:
        of_item = self.sids.shape[1] if self.config.sft.view.name == "sid_tokens" else 1
        return len(policy.opening) + self.work.history * of_item


@contextmanager
def _counting(distinct: int) -> Iterator[tuple[torch.device, Memory]]:
    with absent_gpu(distinct=distinct) as device, Memory(steps.FUNCTIONS) as counted:
        yield device, counted
    gc.collect()


def _layers(policy: Policy) -> Layers:
    def size(module: torch.nn.Module) -> int:
        return sum(p.numel() * p.element_size() for p in module.parameters())

    every = [size(layer) for layer in policy.body.layers]
    return Layers(max(every), size(policy.model) - sum(every))
