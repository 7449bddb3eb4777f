"""What stages and messages say is shown as it is, whatever brackets it holds."""

import io

from rich.console import Console

from flows.console import Terminal


def test_brackets_are_shown_and_not_taken_for_markup():
    shown = io.StringIO()
    said = "data.path changed from /data/[old]/shop to /data/[/new]"
    with Terminal(Console(file=shown, width=200)) as terminal:
        terminal.message(said)
        terminal.stage_started("sft", said)
        terminal.stage_finished({"name": "sft", "status": "cached", "reason": said, "key": "sft-1", "seconds": 1.0})
    assert shown.getvalue().count(said) == 3
