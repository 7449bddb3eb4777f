"""The contract of a stage's tables, checked where they were written, before they become an artifact."""

from pathlib import Path


def check_contract(stage: str, folder: Path) -> None:
    """Raises DataError where a table that `stage` (ingest or prepare) wrote into `folder` breaks its contract."""
    from genrec.data import contract  # in the task: the library behind it takes a second to import

    {"ingest": contract.check_ingest, "prepare": contract.check_prepare}[stage](folder)
