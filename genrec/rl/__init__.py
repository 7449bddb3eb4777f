"""Reinforcement learning on the SFT model: prompts -> rollouts -> groups -> rewards -> update.

An algorithm is a module here with a `Config` (which has `inner_steps`), `advantages(rewards, valid, options)` and
`loss(log_probs, old_log_probs, reference_log_probs, advantage, valid, options)`; see `grpo`. Rewards are modules of
`genrec.rl.rewards`.
"""
