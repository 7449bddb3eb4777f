"""Baselines that rank the whole catalogue without a neural model: every variant is one module with `Config` and `fit`."""
