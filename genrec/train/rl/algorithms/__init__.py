"""Algorithms of reinforcement learning.

An algorithm is one module of this package with a `Config` (which has `inner_steps`), `NEEDS_VALUES` (whether it trains a
value head), `NEEDS_TEACHER` (whether candidates are judged by a teacher, `genrec.train.rl.teacher`, which its `Config`
then names) and two functions on the types of `genrec.train.rl.objective`:

    estimate(rewards float32[B, G], values float32[B, G, L] or None, valid bool[B, G], options) -> Estimates
    loss(tokens, options) -> Loss
"""

PACKAGE = "genrec.train.rl.algorithms"
