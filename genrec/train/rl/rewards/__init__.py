"""Rewards of reinforcement learning, added up by weight (`genrec.train.rl.rewarding`).

A reward is one module of this package with a `Config` and a pure function

    reward(candidates int64[B, G] items, best first, -1 where there is none, target int64[B], context, options)
        -> float32[B, G], finite, 0 for missing candidates

`context` (`genrec.train.rl.reward_context.RewardContext`) holds facts of the catalogue and of the B prompts.
Optional functions:

    num_following(options) -> int           items of the training sequence, from the target on, to travel with a prompt
    prepare(context, options) -> anything   called once; its result is `context.prepared`
    note(context, options) -> str | None    why the data leaves this reward without effect

and, where it pays for something that evaluation measures, PAYS_FOR: names of `genrec.measure.gains.FIGURES`.
"""
