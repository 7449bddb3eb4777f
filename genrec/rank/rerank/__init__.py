"""Re-rankers: each takes the lists as they are and puts them in another order; `rank.rerank` names them in turn.

A re-ranker is one module of this package with a `Config` and

    tune(lists: Lists, options: Config, k: int, seed: int) -> Reranker
    restore(state: dict, options: Config) -> Reranker

where `lists` (`genrec.rank.rerank.parts.lists`) are validation lists whose `outcome` says what the customers did, never
test ones. A `Reranker` has `rerank(lists, k) -> Reordered`, the first k places chosen and the rest behind them, and
`state()`, plain JSON that `restore` reads. `genrec.rank.rerank.parts.steps` runs several in turn.
"""

PACKAGE = "genrec.rank.rerank"
