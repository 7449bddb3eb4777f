"""The first page of the Prefect UI says how to log in, and is reached without an error about a failed login.

Prefect's UI checks a password before it has one, shows "Authentication failed" for that beside its login page, and does not
say there what to enter. A script in its index.html goes to the login page at once, without that check, and adds a sentence.
"""

from pathlib import Path

HINT = (
    "Paste the line that `make serve` printed at its first start, as genrec:password. "
    "`python -m flows login` prints it again."
)
_SCRIPT = """<script>
const password = () => localStorage.getItem("prefect-password")
if (!password() && location.pathname !== "/login")
  location.replace("/login?redirect=" + encodeURIComponent(location.pathname + location.search))
localStorage.setItem("prefect-show-promotional-content", "false")
const open = XMLHttpRequest.prototype.open
XMLHttpRequest.prototype.open = function (method, url, ...more) {
  const early = !password() && url.endsWith("/admin/version") // the check of a password that nobody entered yet
  return open.call(this, method, early ? url.replace("/admin/version", "/health") : url, ...more)
}
addEventListener("DOMContentLoaded", () => {
  const hint = document.createElement("p")
  hint.id = "login-hint"
  hint.textContent = "HINT"
  hint.style.cssText = "position: fixed; top: calc(50% + 8rem); width: 100%; padding: 0 1rem; text-align: center"
  const show = () => { hint.hidden = location.pathname !== "/login" }
  document.body.append(hint)
  show()
  new MutationObserver(show).observe(document.getElementById("app"), {childList: true, subtree: true})
})
</script>"""


def explain_login(ui: Path) -> None:
    """Put the script into the copy of the classic UI that Prefect made below the folder `ui`, once."""
    index = ui / "v1" / "index.html"
    text = index.read_text(encoding="utf-8")
    if "login-hint" not in text:
        script = _SCRIPT.replace("HINT", HINT)
        index.write_text(text.replace("<head>", f"<head>{script}", 1), encoding="utf-8")
