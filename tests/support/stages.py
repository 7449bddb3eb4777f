"""The stages of a run with the settings of the tests: those that run whatever the config says."""

from tasks.run import STAGES

ALWAYS = tuple(stage for stage in STAGES if stage != "rank")
