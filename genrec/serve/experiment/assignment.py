"""Which users see what, by a hash of the user: the same on every replica and every day, with nothing to look up."""

import functools
import hashlib
from dataclasses import dataclass, fields
from typing import Any, Literal

Arm = Literal["control", "candidate", "interleaved"]
CONTROL: Literal["control"] = "control"  # the model in service
CANDIDATE: Literal["candidate"] = "candidate"
INTERLEAVED: Literal["interleaved"] = "interleaved"


@dataclass(frozen=True)
class Experiment:
    """The settings of service.experiment (genrec/config/service.py), without pydantic."""

    name: str
    candidate: str
    share: float
    mode: Literal["split", "interleave"] = "split"
    salt: str = ""
    outcome: Literal["click", "purchase"] = "click"
    window_hours: float = 24.0
    confidence: float = 0.95
    tight_at_users: int = 5000

    @classmethod
    def of(cls, config: Any) -> "Experiment | None":
        """Of the section `service.experiment`, or of its settings as a mapping; None where that is None."""
        if config is None:
            return None
        given = config if isinstance(config, dict) else config.model_dump()
        return cls(**{field.name: given[field.name] for field in fields(cls) if field.name in given})

    def assign(self, user_id: str) -> Arm:
        """What a user sees: the candidate (mode split) or both lists interleaved, a `share` of all users; else control.

        A user whose arm is not control keeps it when the share grows. Experiments of other names (or salts) choose
        independently of each other.
        """
        if self.place(user_id) >= self.share:
            return CONTROL
        return CANDIDATE if self.mode == "split" else INTERLEAVED

    def place(self, user_id: str) -> float:
        """Where a user lies in this experiment, uniform in [0, 1)."""
        key = _key(self.salt or self.name)
        digest = hashlib.blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
        return (int.from_bytes(digest, "big") >> 11) / 2**53


@functools.lru_cache(maxsize=64)
def _key(salt: str) -> bytes:
    return hashlib.sha256(salt.encode()).digest()
