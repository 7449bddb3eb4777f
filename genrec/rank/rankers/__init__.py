"""Rankers, one file each. A ranker is a module with `Config` and

    fit(train: Samples, valid: Samples | None, options: Config, seed: int, progress: Progress = silent) -> Ranker
    load(folder: Path) -> Ranker

(`genrec.rank.rankers.parts.ranker`). `valid` decides when training stops and is learned from in no other way.
"""
