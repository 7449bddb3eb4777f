"""Power loss and failing writes in the store, whose disk calls go through one small object."""

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from genrec.errors import GenrecError
from genrec.store.artifact import Artifact, Disk
from genrec.store.local import Store
from tests.support.promises.count import Count

KINDS = ("ENOSPC", "EIO", "short write, then ENOSPC")


class PowerLostError(BaseException):
    """The machine is off: nothing of the program runs any more."""


class LosingPower(Disk):
    """A disk with a cache: what was not synced may be lost, torn or kept when the power goes.

    Durable is a file's content since its last fsync, and a name in a folder since the folder's last fsync. Everything
    else is drawn at random, as a file system that writes in any order may leave it ("All file systems are not created
    equal", Pillai et al., OSDI 2014).
    """

    def __init__(self, root: Path, calls_left: int) -> None:
        self.root, self.calls_left = root, calls_left
        self.contents: set[int] = set()  # inodes whose content is durable
        self.names: dict[tuple[int, str], int] = {}  # (folder's inode, name) -> the inode that is durable under it
        self.renames: list[tuple[Path, Path, bytes | None]] = []  # not durable; with what the target held before
        for path in [root, *root.rglob("*")]:  # what was there before the machine was started
            self._note(path)

    def _note(self, path: Path) -> None:
        if path.is_dir():
            inode = path.stat().st_ino
            for key in [key for key in self.names if key[0] == inode]:
                del self.names[key]
            self.names |= {(inode, child.name): child.lstat().st_ino for child in path.iterdir()}
        else:
            self.contents.add(path.lstat().st_ino)

    def _call(self) -> None:
        if self.calls_left == 0:
            raise PowerLostError
        self.calls_left -= 1

    def write(self, path: Path, data: bytes) -> None:
        self._call()
        super().write(path, data)
        self.contents.discard(path.stat().st_ino)

    def fsync(self, path: Path) -> None:
        self._call()
        super().fsync(path)
        self._note(path)
        if path.is_dir():
            self.renames = [r for r in self.renames if r[1].parent != path]

    def rename(self, source: Path, target: Path) -> None:
        self._call()
        before = target.read_bytes() if target.is_file() else None
        super().rename(source, target)
        self.renames.append((source, target, before))

    def lose(self, rng: random.Random) -> None:
        """What is on the disk when the machine comes back."""
        for source, target, before in reversed(self.renames):
            if target.exists() and rng.random() < 0.5:  # the rename did not reach the disk
                if source.parent.is_dir():
                    os.rename(target, source)
                else:
                    _remove(target)
                if before is not None:
                    target.write_bytes(before)
                    self.contents.add(target.stat().st_ino)
        renamed = {target for _, target, _ in self.renames}
        for path in sorted(self.root.rglob("*"), reverse=True):
            if not path.exists() or path.parent == self.root / "locks":
                continue
            inode = path.lstat().st_ino
            durable = path in renamed or self.names.get((path.parent.stat().st_ino, path.name)) == inode
            if not durable and rng.random() < 0.3:
                _remove(path)
                continue
            if path.is_file() and inode not in self.contents:
                data = path.read_bytes()
                size = rng.randrange(len(data) + 1)
                path.write_bytes(rng.choice([data, data[:size], data[:size] + bytes(len(data) - size)]))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


class Shop:
    """A store under a random sequence of commits, refreshes and documents, and what it has acknowledged."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root, self.rng = root, rng
        self.digests: dict[
            str, set[str]
        ] = {}  # by key: what may be found; the last one acknowledged, or one on its way
        self.texts: dict[str, set[str]] = {}

    def step(self, store: Store) -> None:
        number = self.rng.randrange(3)
        if self.rng.random() < 0.3:
            name, text = f"service/demo/{number}.json", str(self.rng.random()) * self.rng.randrange(1, 300)
            self.texts.setdefault(name, {""}).add(text)
            store.write_document(name, text)
            self.texts[name] = {text}
        else:
            key = f"sft-{number}"
            digest = put(store, key, self.rng, replace=self.rng.random() < 0.5, on_its_way=self._on_its_way).digest
            self.digests[key] = {digest}

    def _on_its_way(self, key: str, digest: str) -> None:
        self.digests.setdefault(key, {""}).add(digest)

    def look(self) -> None:
        """With a fresh process: what was acknowledged is there and whole, and nothing was found corrupt."""
        store = Store(self.root)
        store.remove_leftovers()
        for key, digests in self.digests.items():
            found = store.lookup(key)
            digest = "" if found is None else found.digest
            assert digest in digests, (
                f"{key}: {digest or 'gone'} is neither what was acknowledged nor what was on its way"
            )
            self.digests[key] = {digest}
        for name, texts in self.texts.items():
            path = self.root / name
            text = path.read_text() if path.exists() else ""
            assert text in texts, f"{name}: torn or lost"
            self.texts[name] = {text}
        store.release()
        corrupt = [p.name for p in (self.root / "corrupt").iterdir()]
        assert corrupt == [], f"partial and visible: {corrupt}"
        left = [p.name for p in (self.root / "tmp").iterdir()]
        assert left == [], f"tmp still holds {left[:3]}"


def put(
    store: Store,
    key: str,
    rng: random.Random,
    replace: bool = False,
    on_its_way: Callable[[str, str], None] = lambda key, digest: None,
) -> Artifact:
    """Commit an artifact of a few random files."""
    with store.scratch() as out:
        for number in range(rng.randrange(1, 4)):
            place = out / ("sub" if number == 2 else "") / f"{number}.bin"
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(rng.randbytes(rng.randrange(1, 5000)))
        on_its_way(key, _digest(out))
        return store.commit(
            key, "sft", out, version=1, config_slice={}, inputs={}, summary={}, seconds=1, replace=replace
        )


def _digest(folder: Path) -> str:
    from genrec.store.artifact import digest_of, sha256

    files = [p for p in folder.rglob("*") if p.is_file()]
    return digest_of(
        {p.relative_to(folder).as_posix(): {"sha256": sha256(p), "bytes": p.stat().st_size} for p in sorted(files)}
    )


def power_losses(folder: Path, sequences: int) -> Count:
    """Sequences of commits, refreshes and documents with three power losses each; the seed is the sequence's number."""
    count = Count(2, "sequences of commits, refreshes and documents on a disk that loses what was not synced")
    for seed in range(sequences):
        with count.attempt(f"seed {seed}"):
            rng = random.Random(seed)
            shop = Shop(folder / f"power-{seed}", rng)
            Store(shop.root)
            for _ in range(3):
                disk = LosingPower(shop.root, rng.randrange(1, 60))
                store = Store(shop.root, disk)
                try:
                    while True:
                        shop.step(store)
                except PowerLostError:
                    store.release()
                    disk.lose(rng)
                shop.look()
            shutil.rmtree(shop.root)
    return count


class Failing(Disk):
    """A disk whose call number `at` fails; every later call fails too where the disk is full."""

    def __init__(self, at: int, kind: str) -> None:
        self.at, self.kind, self.calls = at, kind, 0

    def _fails(self) -> bool:
        self.calls += 1
        return self.calls > self.at if "ENOSPC" in self.kind else self.calls == self.at + 1

    def _error(self) -> OSError:
        code = errno.EIO if self.kind == "EIO" else errno.ENOSPC
        return OSError(code, os.strerror(code))

    def write(self, path: Path, data: bytes) -> None:
        if not self._fails():
            return super().write(path, data)
        if "short" in self.kind:
            super().write(path, data[: len(data) // 2])
        raise self._error()

    def fsync(self, path: Path) -> None:
        if self._fails():
            raise self._error()
        super().fsync(path)

    def rename(self, source: Path, target: Path) -> None:
        if self._fails():
            raise self._error()
        super().rename(source, target)


def _operations() -> Iterator[tuple[str, Callable[[Shop, Store], None]]]:
    def document(shop: Shop, store: Store) -> None:
        shop.texts["service/demo/0.json"].add("new" * 100)
        store.write_document("service/demo/0.json", "new" * 100)

    def artifact(key: str, replace: bool) -> Callable[[Shop, Store], None]:
        return lambda shop, store: put(store, key, random.Random(7), replace, shop._on_its_way) and None

    yield "commit", artifact("sft-new", False)
    yield "refresh", artifact("sft-0", True)
    yield "document", document


def failing_calls(folder: Path) -> Count:
    """Each operation of the store with its first, second, ... disk call failing, until it succeeds."""
    count = Count(3, "every disk call of a commit, a refresh and a document failing: ENOSPC, EIO, short writes")
    for operation, run in _operations():
        for kind in KINDS:
            at, succeeded = 0, False
            while not succeeded:
                with count.attempt(f"{operation}, call {at}, {kind}"):
                    shop = Shop(folder / "failing", random.Random(at))
                    first = Store(shop.root)
                    shop.digests = {"sft-0": {put(first, "sft-0", random.Random(1)).digest}}
                    first.write_document("service/demo/0.json", "old")
                    shop.texts = {"service/demo/0.json": {"old"}}
                    first.release()
                    disk = Failing(at, kind)
                    store = Store(shop.root, disk)
                    try:
                        run(shop, store)
                        succeeded = True
                        assert disk.calls <= at, "the error was swallowed"
                    except (OSError, GenrecError):
                        assert disk.calls > at
                    store.release()
                    shop.look()
                shutil.rmtree(shop.root)
                at += 1
    return count
