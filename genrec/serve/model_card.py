"""The model card of an exported model (Mitchell et al. 2019, Model Cards for Model Reporting): README.md in its folder."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genrec.serve.model_files import ModelFiles

_SCORE = {"ids": "semantic ids by the language model", "dense": "dense head", "transitions": "transition table"}


def model_card(files: ModelFiles, manifest: Mapping[str, Any]) -> str:
    """Markdown: what the model is, how to load it, its data, protocol, figures, and what its score is made of."""
    report = files.report
    sections = [
        (f"# {report.get('name', files.run_id)}: a generative recommender", _what(files)),
        ("## Load it", _LOADING),
        ("## Data", list(_data(report))),
        ("## Protocol", list(_protocol(report))),
        ("## Figures", list(_figures(report))),
        ("## Score", list(_score(report))),
        ("## What is inside", list(_inside(manifest))),
    ]
    return "\n\n".join("\n\n".join([title, "\n".join(lines)]) for title, lines in sections if lines) + "\n"


_LOADING = [
    "```python",
    "from genrec import Recommender",
    "",
    'recommender = Recommender.load("PATH OF THIS FOLDER")',
    'print(recommender.recommend(["ITEM ID", "ITEM ID"], k=10))',
    "```",
    "",
    "It needs genrec's code and torch, transformers, peft, numpy and pyarrow. Nothing in this folder is executed.",
]


def _what(files: ModelFiles) -> list[str]:
    model = files.report.get("config", {}).get("base", {}).get("model")
    return [
        "It reads the items a customer met, oldest first, and writes the semantic id of the next one, under the trie of the "
        f"catalogue's ids. From {files.where} (model key `{files.model_key}`)"
        + (f", trained from `{model}`." if model else "."),
    ]


def _data(report: Mapping[str, Any]) -> Iterator[str]:
    data = report.get("data")
    if not data:
        return
    yield (
        f"{data['users']:,} users, {data['items']:,} items, {data['interactions']:,} events "
        f"(source `{data.get('source', 'unknown')}`)."
    )
    sid = report.get("sid", {})
    if sid:
        yield f"Semantic ids: {sid['num_levels']} levels of {sid['num_codes']} codes by `{sid['method']}`."


def _protocol(report: Mapping[str, Any]) -> Iterator[str]:
    protocol = report.get("protocol")
    if protocol:
        yield f"{protocol['short'][0].upper()}{protocol['short'][1:]}; {protocol['decoding']}, width {protocol['beam_width']}."
        yield f"Intervals: {protocol['intervals']}, {protocol['confidence']:.0%}."


def _figures(report: Mapping[str, Any]) -> Iterator[str]:
    """The trained model and the strongest baselines at the headline cut-off."""
    metrics, k = report.get("metrics"), report.get("protocol", {}).get("headline_k")
    if not metrics or not k:
        return
    names = [f"hr@{k}", f"ndcg@{k}"]
    trained = [name for name in ("sft", "rl") if name in metrics]
    baselines = sorted(set(report.get("baselines", {})) & set(metrics), key=lambda name: -metrics[name][names[1]])
    yield "| model | " + " | ".join(name.upper() for name in names) + " |"
    yield "| --- | ---: | ---: |"
    for model in [*trained, *baselines[:3]]:
        cells = [_with_interval(metrics[model], name) for name in names]
        yield f"| {model} | {' | '.join(cells)} |"
    yield from _sentences(report.get("verdict", []))


def _with_interval(figures: Mapping[str, Any], name: str) -> str:
    interval = figures.get(f"{name}_ci")
    return f"{figures[name]:.4f}" + (f" ({interval[0]:.4f} to {interval[1]:.4f})" if interval else "")


def _sentences(sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield ""
        yield from (f"- {sentence}" for sentence in sentences)


def _score(report: Mapping[str, Any]) -> Iterator[str]:
    shares = report.get("score", {})
    for model in ("rl", "sft"):
        if model in shares:
            parts = ", ".join(f"{_SCORE.get(part, part)} {share:.0%}" for part, share in shares[model].items())
            yield f"Log-probability of an item, mixed of: {parts}. Higher is better; filters and stock do not change it."
            return


def _inside(manifest: Mapping[str, Any]) -> Iterator[str]:
    base, encoder = manifest["base"], manifest["encoder"]
    origin = f"`{base['trained_from']}`" if base["trained_from"] else "the base model of the run"
    if base["revision"]:
        origin += f" at revision `{base['revision']}`"
    if base["folder"] == "base":
        yield f"- `model/`: a PEFT adapter; `base/`: its base, made from {origin} with the semantic-id tokens added."
        if manifest["adapter"] == "ptuning_v2":
            yield "- The adapter's rows go into the base first; `model/prefix/` is a second PEFT adapter, of prefix tuning."
        if manifest["adapter"] == "qlora":
            yield "- The base is loaded in 4 bits, as the adapter was trained: that needs bitsandbytes and accelerate too."
    else:
        yield f"- `model/`: a whole Hugging Face model folder, trained from {origin}."
    yield "- `items.parquet`, `ids/`: the items and their semantic ids, from which the trie is built; codebooks for new items."
    yield f"- `encoder/`: text vectors of the items. Encoder: `{encoder.get('method', 'unknown')}`; {_new_items(encoder)}"
    yield "- `manifest.json`: size and sha256 of every file, checked when the folder is loaded."


def _new_items(encoder: Mapping[str, Any]) -> str:
    options = encoder.get("options", {})
    if "model" in options:
        revision = f" at revision `{options['revision']}`" if options.get("revision") else ""
        return f"new items get their vectors from `{options['model']}`{revision}, which is not inside."
    if encoder.get("method") == "lsa":
        return "it is inside; to encode new items it needs scikit-learn too."
    return "new items come with their vectors."
