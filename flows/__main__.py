"""The command line: `python -m flows --help`."""

import importlib
import sys

from flows.commands.app import app

for _name in ("runs", "lists", "service", "upkeep"):  # in the order of the help
    importlib.import_module(f"flows.commands.{_name}")

if __name__ == "__main__":
    sys.exit(app(prog_name="python -m flows"))
