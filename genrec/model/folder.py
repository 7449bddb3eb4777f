"""Model folders: the artifacts of base, sft and rl, loaded and saved without ever executing data.

A folder is a Hugging Face model folder (`model.safetensors`, `config.json`, tokenizer) or a PEFT adapter folder
(`adapter_model.safetensors`, `adapter_config.json`, tokenizer), plus `genrec.json`: the kind of artifact, where the
semantic-id tokens are, and the kind of adapter.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genrec.errors import DataError
from genrec.model.adapter import tied_rows
from genrec.model.vocab import SidVocabulary

META_FILE = "genrec.json"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
)


def read_meta(folder: Path) -> dict[str, Any]:
    """`genrec.json` of a model folder. Raises DataError when there is none."""
    try:
        return json.loads((folder / META_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder}: no {META_FILE} there; expected the folder of a base, sft or rl artifact") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{folder / META_FILE}: not JSON ({error}); recompute the stage") from error


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """Write `genrec.json`, keys sorted."""
    (folder / META_FILE).write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def vocabulary(meta: dict[str, Any]) -> SidVocabulary:
    """The semantic-id vocabulary that `genrec.json` describes."""
    return SidVocabulary(**meta["vocabulary"])


def load_model(
    folder: Path,
    base_folder: Path | None,
    meta: dict[str, Any],
    device: torch.device,
    dtype: torch.dtype,
    trainable: bool = False,
) -> nn.Module:
    """The model of a folder: plain, or its base with the adapter on top."""
    mode = meta.get("adapter", "full")
    if mode == "full":
        return load_causal_model(folder, device, dtype)
    from peft import PeftModel

    from genrec.model.trained_rows import read_in_place

    if base_folder is None:
        raise DataError(f"{folder}: holds a {mode} adapter; pass the folder of its base model too")
    if not (folder / "adapter_model.safetensors").is_file():
        raise DataError(f"{folder}: no adapter_model.safetensors there; recompute the stage")
    base = load_causal_model(base_folder, device, dtype, quantize=mode == "qlora")
    with tied_rows():
        model = PeftModel.from_pretrained(
            base,
            str(folder),
            is_trainable=trainable,
            torch_device=str(device),
            autocast_adapter_dtype=trainable,  # float32 where it is trained, else as the base
        )
    if mode == "ptuning_v2":
        from genrec.model import prefix_tuning

        prefix_tuning.load(folder / prefix_tuning.FOLDER, model.get_base_model(), dtype, trainable)
    return read_in_place(model)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a model's folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)


def quiet() -> None:
    """No progress bars from transformers: stages report their own progress."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def load_causal_model(folder: Path, device: torch.device, dtype: torch.dtype, quantize: bool = False) -> Any:
    """A transformers causal model from a local folder of safetensors; `quantize` loads linear layers as NF4.

    NF4 with double quantisation as in QLoRA (Dettmers et al. 2023, section 3); `dtype` is what it computes in.
    """
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    quiet()
    if not any(folder.glob("*.safetensors")):
        raise DataError(f"{folder}: no *.safetensors there; only safetensors weights are loaded")
    options: dict[str, Any] = {}
    if quantize:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
        options["device_map"] = {"": device}
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(folder),
        dtype=dtype,
        attn_implementation="sdpa",  # the one that takes boolean 4-D masks
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        **options,
    )
    if not quantize:
        return model.to(device)
    _keep_packing(model)
    return model


def _keep_packing(model: Any) -> None:
    """Leave 4-bit weights as they are stored in evaluation mode too.

    On CPUs with bfloat16 instructions bitsandbytes repacks them in place at the first forward outside of training: the
    scales are rounded to bfloat16, so a search would score with other weights than the ones that are trained, and
    widths that are no multiple of 32 fail.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def save_model(folder: Path, model: Any, tokenizer_files: Path | None = None) -> None:
    """Write weights and config (of the adapter alone when there is one) and copy the tokenizer."""
    quiet()
    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(model, "peft_config"):
        # "auto" would look the base model up on the hub to see whether its vocabulary grew.
        model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        _settle_adapter_config(folder / "adapter_config.json")
        _save_prefix(folder, model.get_base_model())
    else:
        model.save_pretrained(str(folder), safe_serialization=True)
    if tokenizer_files is not None:
        for name in _TOKENIZER_FILES:
            if (tokenizer_files / name).is_file() and tokenizer_files != folder:
                shutil.copyfile(tokenizer_files / name, folder / name)


def _save_prefix(folder: Path, causal_model: Any) -> None:
    from genrec.model import prefix_tuning

    if prefix_tuning.parts_of(causal_model):
        prefix_tuning.save(folder / prefix_tuning.FOLDER, causal_model)


def _settle_adapter_config(path: Path) -> None:
    """Same adapter, same bytes: sets come in a fixed order and the path of the base stays out."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = None
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
