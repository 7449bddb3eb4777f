"""The commands of `python -m flows`, by what they work on; each joins `flows.commands.app.app` when it is imported."""
