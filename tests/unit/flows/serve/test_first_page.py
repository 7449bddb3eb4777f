"""The script in the first page of the UI; tests/e2e/test_browser.py sees it work."""

from prefect import __ui_static_path__

from flows.serve.first_page import HINT, explain_login


def test_the_installed_ui_gets_the_script_once_before_its_own_and_keeps_the_rest(tmp_path):
    index = tmp_path / "v1" / "index.html"
    index.parent.mkdir()
    before = (__ui_static_path__ / "index.html").read_text()
    index.write_text(before)
    explain_login(tmp_path)
    once = index.read_text()
    explain_login(tmp_path)
    assert index.read_text() == once
    assert once.index(HINT) < once.index('<script type="module"')
    start, end = once.index("<script>"), once.index("</script>") + len("</script>")
    assert once[:start] + once[end:] == before
