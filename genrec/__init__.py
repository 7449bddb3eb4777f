"""genrec: a generative recommender, from raw reviews to ranked products.

A pure library: every stage of the pipeline is a function here that reads files, computes and writes
files into a folder it is given. Scheduling (Ray) lives in `tasks`, orchestration (Prefect) in `flows`.

`genrec.Recommender` is a trained model to ask (`genrec.serve.recommender`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genrec.serve.recommender import Filter, Query, Recommender

__all__ = ["Filter", "Query", "Recommender"]


def __getattr__(name: str) -> Any:
    """What `__all__` names, imported when it is asked for: `import genrec` alone must not wait for torch."""
    if name in __all__:
        from genrec.serve import recommender

        return getattr(recommender, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
