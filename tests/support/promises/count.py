"""How often a promise was tried and broken."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Count:
    """One way in which a promise was tested."""

    promise: int  # its number in docs/reliability.md
    how: str
    tried: int = 0
    broken: list[str] = field(default_factory=list)  # which try, with its seed, and what was seen

    @contextlib.contextmanager
    def attempt(self, name: str, tries: int = 1) -> Iterator[None]:
        """One try (0: part of one before): what is raised inside is noted, and the next try goes on."""
        self.tried += tries
        try:
            yield
        except AssertionError as error:
            self.broken.append(f"{name}: {error}")
        except Exception as error:  # a fault of the test is no proof of the promise
            self.broken.append(f"{name}: {type(error).__name__}: {error}")

    def check(self) -> None:
        """For tests: fail where it was broken, or never tried."""
        assert self.tried
        assert not self.broken, "\n".join(self.broken)
