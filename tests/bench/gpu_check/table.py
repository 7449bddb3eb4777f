"""What the parts found, as text: one table, then where the time of each figure went."""

from typing import Any

TARGETS = {
    ("beam", "users_per_s"): "756 users/s, which is 6 s, on an H200",
    ("sft", "mfu"): "45%",
    ("grpo", "ms_per_prompt"): "8 ms",
}
_FORMATS = {
    "seconds": "{:.2f} s",
    "users_per_s": "{:.0f} users/s",
    "call_ms": "{:.3f} ms",
    "latency_ms": "{:.1f} ms",
    "requests_per_s": "{:.1f} requests/s",
    "ratio": "{:.1f} times the time of ours",
    "tokens_per_s": "{:.0f} tokens/s",
    "ms_per_prompt": "{:.2f} ms a prompt",
    "mfu": "MFU {:.1%}",
    "mfu_datasheet": "({:.1%} of the datasheet's rate)",
    "tflops": "{:.0f} TFLOP/s",
    "gb_per_s": "{:.0f} GB/s",
    "error": "error {:.1e}",
    "same_items": "same items {:.1%}",
    "shared_items": "in both {:.1%}",
    "peak_gib": "peak {:.1f} GiB",
    "plan_gib": "planned {:.1f} GiB",
    "search_gib": "of the search {:.2f} GiB",
    "micro_batch": "micro-batch {}",
    "held_gib": "holds {:.2f} GiB",
    "kv_gib": "keys and values at most {:.2f} GiB",
    "took_s": "took {:.1f} s",
}
_VERDICTS = {True: "right", False: "WRONG", None: "-"}


def lines(parts: dict[str, dict[str, Any]]) -> list[str]:
    """The whole report of the parts by name (see `processes.in_own_process`)."""
    text: list[str] = []
    for name, part in parts.items():
        text.append(f"== {name} ({part['seconds']:.0f} s)")
        text += [_line(name, case) for case in part["cases"] if "profile" not in case]
        if part["failed"]:
            text.append(f"  FAILED: {part['failed']}")
    for part in parts.values():
        for case in part["cases"]:
            text += _profile(case) if "profile" in case else []
    return text


def _line(name: str, case: dict[str, Any]) -> str:
    if case["case"] == "versions":
        return "  " + ", ".join(f"{key} {value}" for key, value in case.items() if key != "case")
    found = [form.format(case[key]) for key, form in _FORMATS.items() if case.get(key) is not None]
    found += [f"target {target}" for (part, key), target in TARGETS.items() if part == name and key in case]
    found += [case["failed"]] if "failed" in case else []
    verdict = f"{_VERDICTS[case['passed']]:<6}" if "passed" in case else ""
    return f"  {case['case']:<34} {verdict}{'  '.join(found)}"


def _profile(case: dict[str, Any]) -> list[str]:
    found = case["profile"]
    head = f"-- {case['case']}: {found['wall_ms']:.0f} ms, {found['kernels_ms']:.0f} ms in {found['launches']} kernels"
    return [head, *(f"  {row['ms']:9.1f} ms {row['calls']:6d} x {row['kernel'][:70]}" for row in found["top"])]
