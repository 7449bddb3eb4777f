"""What Ray reads from the environment when it is imported, and what its worker processes find in theirs.

Ray makes Unix sockets below its temporary folder, and the kernel takes at most 107 bytes for the name of one (`sun_path`,
unix(7)). Cluster schedulers and macOS set TMPDIR to longer folders than that leaves room for: then a Ray of this machine
gets a shorter one. And where the home folder cannot be written (containers under another user), Ray's token is kept in
the environment alone. Imports no Prefect: Ray's worker processes import what imports this.
"""

import os
import secrets
from pathlib import Path

from genrec.config import ResourcesConfig
from genrec.errors import GenrecError
from genrec.redact import holds_secret, redact

_SOCKET_BYTES = 107
_BELOW = "/ray/session_2026-01-31_12-00-00_123456_1234567/sockets/plasma_store.12"  # the longest name that Ray makes
_SHORT = ("/tmp", "/var/tmp", "/dev/shm")


def prepare(on_this_machine: bool) -> None:
    """Set it; `on_this_machine`: Ray is started here, no cluster is joined. Raises GenrecError as `ray_temp_dir` does."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # else `uv run` rebuilds the environment in each worker
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # a task that reserves no GPU sees none
    # Else a driver whose parent has ended (nohup, a systemd unit, a container with an init) is ended by Ray, with status 1
    # and without a word, when its connection to Ray closes: Ray takes a parent of process id 1 for a lost node. Ray
    # itself tells its workers their node's process, whatever stands here.
    os.environ["RAY_RAYLET_PID"] = str(os.getpid())
    if not on_this_machine:
        return
    # Else Ray takes 127.0.0.1 for the address in the network and listens on every interface.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if short := ray_temp_dir():
        os.environ["RAY_TMPDIR"] = short
    if not _has_token() and not _can_keep_token():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # as Ray makes them


def _has_token() -> bool:
    """Whether somebody chose the token that Ray's processes show each other, or that there is none."""
    mode = os.environ.get("RAY_AUTH_MODE", "token").lower()
    return mode != "token" or any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))


def _can_keep_token() -> bool:
    """Whether there is a home folder for the token that Ray keeps in ~/.ray."""
    try:
        folder = Path.home() / ".ray"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: no home is known
        return False
    return os.access(folder / "auth_token", os.R_OK) or os.access(folder, os.W_OK | os.X_OK)


def short_enough(folder: str) -> bool:
    return len(os.fsencode(os.path.abspath(folder) + _BELOW)) <= _SOCKET_BYTES


def ray_temp_dir(shared: tuple[str, ...] = _SHORT) -> str | None:
    """What to set RAY_TMPDIR to, or None where the folder that Ray takes by itself is short enough.

    Raises GenrecError where no short folder can be written.
    """
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)
    if name is None or short_enough(os.environ[name]):
        return None
    for folder in shared:
        if Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return folder
    limit = _SOCKET_BYTES - len(_BELOW)
    raise GenrecError(
        f"{name} {os.environ[name]}: too long for the sockets of Ray, and none of {', '.join(shared)} can be written; "
        f"set RAY_TMPDIR to a folder of at most {limit} characters"
    )


def of_workers(resources: ResourcesConfig) -> dict[str, str]:
    """The environment of Ray's worker processes.

    Ray writes it into its own logs: a worker gets secrets from the environment of its node, never from here.
    """
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("GENREC_", "HF_", "TRANSFORMERS_")) and not holds_secret(name) and redact(value) == value
    }
    return {
        # Read by each worker process when it starts; Ray's own default is 15.
        "RAY_worker_niceness": str(resources.worker_niceness),
        # Threads that wait must sleep, not spin: next to a busy process two spinning threads on two cores train about
        # seven times slower than one thread, two sleeping ones a little faster.
        "OMP_WAIT_POLICY": "PASSIVE",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
        "POLARS_MAX_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        **passed,
    }
