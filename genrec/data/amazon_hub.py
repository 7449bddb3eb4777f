"""A category of Amazon Reviews 2023 by its name: in the data set on the Hugging Face hub, or in a copy of its layout.

    raw/review_categories/<category>.jsonl
    raw/meta_categories/meta_<category>.jsonl

Layout: https://huggingface.co/datasets/McAuley-Lab/Amazon-Reviews-2023. A copy may hold them compressed.
"""

from pathlib import Path

from genrec.data import places
from genrec.data.amazon import ENDINGS, METADATA_PREFIX
from genrec.errors import DataError

HUB = "hf://datasets/McAuley-Lab/Amazon-Reviews-2023"
REVIEWS, METADATA = "raw/review_categories", "raw/meta_categories"


def files_of(path: Path | None, category: str) -> tuple[Path, str, str]:
    """The root of the data set (the hub where `path` is None), and the review and metadata file of a category below it.

    Raises DataError where the root cannot be reached, or has no such category; it lists those that are there.
    """
    root = places.located(HUB) if path is None else path
    reviews = places.reaching(root, lambda: _first(root, REVIEWS, category), _without_network(category))
    metadata = places.reaching(root, lambda: _first(root, METADATA, METADATA_PREFIX + category))
    if reviews and metadata:
        return root, reviews, metadata
    kind, stem = (METADATA, METADATA_PREFIX + category) if reviews else (REVIEWS, category)
    raise DataError(f"data.options.category: no {kind}/{stem}.jsonl in {root}; {_categories(root)}")


def _first(root: Path, folder: str, stem: str) -> str:
    """The file of that name in whichever way it is compressed, or ""."""
    names = [f"{folder}/{stem}{ending}" for ending in ENDINGS]
    return next((name for name in names if (root / name).is_file()), "")


def _categories(root: Path) -> str:
    folder = root / REVIEWS
    if not folder.is_dir():
        return f"it has no folder {REVIEWS}/: set data.path to the folder that holds raw/, or leave the category out"
    names = sorted(entry.name.partition(".")[0] for entry in folder.iterdir())
    return f"the categories there are {', '.join(names) or 'none'}"


def _without_network(category: str) -> str:
    return (
        f"without a network, copy {REVIEWS}/{category}.jsonl and {METADATA}/{METADATA_PREFIX}{category}.jsonl of that data "
        "set here, in these folders, and set data.path to the folder that holds raw/"
    )
