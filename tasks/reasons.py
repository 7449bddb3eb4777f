"""Why a stage has to be computed, in words: what changed since the stored artifact that is most like it."""

from typing import Any

from genrec.config.flatten import flatten
from genrec.store.local import Store
from tasks.ray.made_on import notes


def why_computed(
    store: Store, key: str, stage: str, version: int, config_slice: dict[str, Any], inputs: dict[str, str]
) -> str:
    """The reason why nothing is stored under a key: an attempt that was cut off, or what changed, or "first run"."""
    work = store.root / "work" / key
    if set(work.glob("*")) - set(notes(work)):
        return "an earlier attempt did not finish; going on from its last checkpoint"
    best: list[str] | None = None
    for manifest in store.manifests(stage):
        changes = _changes(manifest, version, config_slice, inputs)
        if best is None or len(changes) < len(best):
            best = changes
    if best is None:
        return "first run"
    shown = "; ".join(best[:3]) + ("; ..." if len(best) > 3 else "")
    return shown or "not in the store"


def _changes(manifest: dict[str, Any], version: int, config_slice: dict[str, Any], inputs: dict[str, str]) -> list[str]:
    old, new = flatten(manifest["config"]), flatten(config_slice)
    changes = [
        f"{leaf} changed from {old.get(leaf, 'unset')} to {new.get(leaf, 'unset')}"
        for leaf in sorted(old.keys() | new.keys())
        if old.get(leaf, ...) != new.get(leaf, ...)
    ]
    changes += [f"new {name}" for name, key in inputs.items() if manifest["inputs"].get(name) != key]
    changes += [f"no {name}" for name in manifest["inputs"] if name not in inputs]
    if manifest["version"] != version:
        changes.append(f"stage version {manifest['version']} -> {version}")
    return changes
