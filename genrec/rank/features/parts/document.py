"""The features as a table of a page of the documentation: `python -m genrec.rank.features.parts.document PAGE`."""

import sys
from pathlib import Path

from genrec.rank.features.parts.compute import features

BEGIN, END = "<!-- features: begin -->", "<!-- features: end -->"


def table() -> str:
    """A Markdown table; CHANNEL stands for the name of each channel, and ids have three levels."""
    rows = ["| group | column | meaning, unit |", "|---|---|---|"]
    for group, names in features(("CHANNEL",), 3).items():
        rows += [f"| {group} | `{name}` | {text} |" for name, text in names.items()]
    return "\n".join(rows)


def written(page: str) -> str:
    """The page with the table of today between its two marks. Raises ValueError where they are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} with an {END} behind it")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(written(target.read_text(encoding="utf-8")), encoding="utf-8")
