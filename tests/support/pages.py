"""What an HTML page loads or links to, for the tests of reports."""

import re
from html.parser import HTMLParser

# Attributes whose value a browser loads or follows (HTML Living Standard, "Attributes"; SVG's xlink:href).
ADDRESSES = {"action", "background", "cite", "data", "formaction", "href", "manifest", "ping", "poster", "src", "srcset",
             "xlink:href"}  # fmt: skip
CSS_ADDRESSES = re.compile(r"""url\(\s*["']?([^"')]*)|@import\s+["']([^"']+)""", re.IGNORECASE)


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.values: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        for name, value in attrs:
            if name in ADDRESSES:
                self.values.append(value or "")
            else:  # style="...", and SVG's clip-path, fill, filter and others that take a url()
                self._css(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self._css(data)

    def _css(self, text: str) -> None:
        self.values += [a or b for a, b in CSS_ADDRESSES.findall(text)]


def outside_addresses(html: str) -> list[str]:
    """The addresses in the page that are neither a place in it (`#...`) nor data of its own (`data:...`)."""
    parser = _Addresses()
    parser.feed(html)
    parser.close()
    return [a for a in parser.values if not a.strip().startswith(("#", "data:"))]
