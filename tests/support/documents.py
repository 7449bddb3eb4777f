"""The project's pages as tests read them: commands, links and names of code in Markdown."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GENERATED = ROOT / "conf" / "README.md"

_SHELL = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Link:
    page: Path
    target: str  # as written: a path, an #anchor, or both

    def __str__(self) -> str:
        return f"{self.page.name}: {self.target}"


def commands(pages: list[Path] = PAGES) -> list[str]:
    """Every command in the shell blocks of the pages, without comments, once and in order."""
    blocks = [block for page in pages for block in _SHELL.findall(page.read_text())]
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return list(dict.fromkeys(line for line in lines if line))


def code(page: Path) -> list[str]:
    """What stands in `backticks` in the text of a page."""
    return _CODE.findall(_BLOCK.sub("", page.read_text()))


def links(page: Path) -> list[Link]:
    """The links and images of a page that do not lead to the web."""
    targets = _LINK.findall(_BLOCK.sub("", page.read_text()))
    return [Link(page, t) for t in targets if not re.match(r"[a-z]+:", t)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = _HEADING.findall(_BLOCK.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
