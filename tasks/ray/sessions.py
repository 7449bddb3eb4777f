"""The folders that Ray leaves behind: one for each Ray that was started, with logs and sockets, in a temporary folder.

Ray removes none of them. Those that genrec started hold a note that says by which process, so that what ended can be
told from what is in use, and from what is somebody else's.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from genrec.store.prune import changed_at

_NOTE = "genrec.json"
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # where Ray's folder may be, besides RAY_TMPDIR and TMPDIR


def note_start(session: str | Path) -> None:
    """Note in the folder of a session that this process started it; where that cannot be written, it is never removed."""
    started = psutil.Process().create_time()
    with contextlib.suppress(OSError):
        (Path(session) / _NOTE).write_text(json.dumps({"pid": os.getpid(), "started_at_unix_s": started}))


def ended(keep_days: float) -> list[Path]:
    """The folders of sessions that genrec started, that no process uses and nothing changed in for `keep_days` days."""
    before = time.time() - keep_days * 24 * 3600
    found = [path for path in _started_by_genrec() if not _driver_lives(path) and changed_at(path) <= before]
    commands = _commands() if found else ""
    return [path for path in found if path.name not in commands]


def _started_by_genrec() -> Iterator[Path]:
    """Those of this user: links are left alone, and what others own."""
    given = [os.environ[name] for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)]
    for root in dict.fromkeys(Path(folder).absolute() / "ray" for folder in (*given, *_TEMPORARY)):
        for note in sorted(root.glob(f"session_*/{_NOTE}")):
            if not note.parent.is_symlink() and note.parent.stat().st_uid == os.getuid():
                yield note.parent


def _driver_lives(session: Path) -> bool:
    """Whether the process that started a session is there; another one with its number is another one."""
    try:
        note = json.loads((session / _NOTE).read_text())
        return abs(psutil.Process(note["pid"]).create_time() - note["started_at_unix_s"]) < 1
    except psutil.NoSuchProcess:
        return False
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):  # not known: taken for in use
        return True


def _commands() -> str:
    """The command lines of all processes: those of Ray name their session."""
    return "\n".join(" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
