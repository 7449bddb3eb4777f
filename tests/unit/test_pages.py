"""README.md and docs/: links lead somewhere, files that are named exist, the pages follow the layout of the code."""

import re

import pytest

from genrec.config import Chosen
from tests.support.documents import GENERATED, PAGES, ROOT, anchors, code, links

FOLDERS = ("genrec/", "tasks/", "flows/", "conf/", "infra/", "tests/", "docs/")


@pytest.mark.parametrize("link", [link for page in [*PAGES, GENERATED] for link in links(page)], ids=str)
def test_a_link_leads_to_a_file_and_a_heading_that_are_there(link):
    path, _, anchor = link.target.partition("#")
    target = (link.page.parent / path).resolve() if path else link.page
    assert target.is_relative_to(ROOT)
    assert target.exists()
    if anchor:
        assert anchor in anchors(target)


def test_every_page_is_reached_from_the_readme():
    linked = {(ROOT / link.target.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    assert set(PAGES[1:]) <= linked
    assert set((ROOT / "docs").glob("*.png")) <= {
        (link.page.parent / link.target).resolve() for page in PAGES for link in links(page)
    }


def test_files_and_folders_that_a_page_names_exist():
    named = {(page.name, word) for page in PAGES for word in code(page) if word.startswith(FOLDERS) and " " not in word}
    assert named
    assert [f"{page}: {word}" for page, word in sorted(named) if not (ROOT / word).exists()] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 90


def test_every_kind_of_variant_and_its_folder_are_in_the_page_about_extending():
    text = (ROOT / "docs" / "extending.md").read_text()
    packages = {
        kind.variant_package for kind in Chosen.__subclasses__() if kind.__module__.startswith("genrec.config.")
    }
    assert len(packages) == 12
    assert [p for p in packages if f"`{p.replace('.', '/')}`" not in text] == []


def test_the_layout_names_every_folder_and_no_other():
    text = (ROOT / "docs" / "extending.md").read_text()
    block = text.partition("```text\n")[2].partition("```")[0]
    top = {p.parent.name for p in ROOT.glob("*/__init__.py")} | {"conf", "infra"}
    inside = {p.parent.name for p in (ROOT / "genrec").glob("*/__init__.py")}
    assert set(re.findall(r"^(\w+)/", block, re.MULTILINE)) == top
    assert set(re.findall(r"^  (\w+)/", block, re.MULTILINE)) == inside
