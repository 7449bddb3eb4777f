"""Reinforcement learning on the SFT model: prompts -> rollouts -> groups -> rewards -> update.

Algorithms are modules of `genrec.train.rl.algorithms`, rewards modules of `genrec.train.rl.rewards`.
"""
