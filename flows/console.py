"""What a person sees in the terminal while a run works: a line a stage, a live bar, a table at the end."""

import threading
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from flows.pace import Pace, roughly
from tasks.ray.watch import Watcher
from tasks.run import STAGES

_WIDTH = max(len(s) for s in STAGES)
_LINES_PER_STAGE = 10  # of progress where there are no bars, at most


class Terminal(Watcher):
    """Shows stages as they go by. In a pipe or a log file there are no bars, only a line now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = Progress(
            TextColumn("  {task.description:<" + str(_WIDTH) + "}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bars: dict[tuple[int, str], TaskID] = {}  # by thread, because stages and runs may go side by side
        self._paces: dict[tuple[int, str], Pace] = {}

    def __enter__(self) -> "Terminal":
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def stage_started(self, stage: str, reason: str) -> None:
        self._print(f"  [cyan]{stage:<{_WIDTH}}[/] computing: {escape(reason)}")
        self._end_bar(stage)
        self._bars[threading.get_ident(), stage] = self.bars.add_task(stage, total=None, note="")
        self._paces[threading.get_ident(), stage] = Pace()

    def stage_waiting(self, stage: str) -> None:
        self._print(f"  {stage:<{_WIDTH}} another run computes it; waiting for the result")

    def progress(self, stage: str, done: float, total: float, note: str, values: dict[str, float]) -> None:
        figures = "  ".join(f"{k} {v:.4g}" for k, v in values.items())
        text = "  ".join(t for t in (note, figures) if t)
        shown = threading.get_ident(), stage
        bar = self._bars.get(shown)
        if bar is not None:
            self.bars.update(bar, completed=done, total=total, note=escape(text))
        pace = self._paces.get(shown)
        if pace is None or self.console.is_terminal or not total:
            return
        share = done / total
        left = pace.left_s(share)
        if pace.due("line", share, _LINES_PER_STAGE):
            time = f"  {roughly(left)} left" if left is not None and share < 1 else ""
            self._print(f"  {stage:<{_WIDTH}} {share:.0%}{time}  {escape(text)}")

    def stage_finished(self, record: dict[str, Any]) -> None:
        self._end_bar(record["name"])
        mark = "[green]cached[/]  " if record["status"] == "cached" else "[bold]computed[/]"
        why = "" if record["status"] == "computed" else f"  [dim]{escape(record['reason'])}[/]"
        about = f"{mark} {record['seconds']:7.1f} s  [dim]{record['key']}[/]{why}"
        self._print(f"  [cyan]{record['name']:<{_WIDTH}}[/] {about}")

    def stage_failed(self, stage: str) -> None:
        self._end_bar(stage)
        self._print(f"  [cyan]{stage:<{_WIDTH}}[/] [red]failed[/]")

    def stage_stopped(self, stage: str) -> None:
        self._end_bar(stage)
        self._print(f"  [cyan]{stage:<{_WIDTH}}[/] stopped")

    def message(self, text: str) -> None:
        self._print(f"  [dim]{escape(text)}[/]")

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True)

    def _end_bar(self, stage: str) -> None:
        bar = self._bars.pop((threading.get_ident(), stage), None)
        if bar is not None:
            self.bars.remove_task(bar)


def table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    """A plain table: the first column left, figures right."""
    shown = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        shown.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        shown.add_row(*row)
    return shown
