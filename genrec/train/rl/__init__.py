"""Reinforcement learning on the SFT model: prompts -> rollouts -> groups -> rewards -> update.

An algorithm is a module here with a `Config` (which has `inner_steps`), `NEEDS_VALUES`,
`estimate(rewards, values, valid, options)` and `loss(tokens, options)`; see `grpo`.
Rewards are modules of `genrec.train.rl.rewards`.
"""
