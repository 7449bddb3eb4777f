"""The store on an object store (s3://, gs://, az://, ...), behind a folder on this machine that stages and caches.

    <url>/objects/<key>/<upload>/...    files of an artifact, under a name of their own for each upload
    <url>/objects/<key>.json            the commit marker: the manifest, and which upload holds its files
    <url>/earlier/<key>/<upload>.json   the marker of an upload that a refresh replaced
    <url>/runs/<run-id>/..., <url>/service/<name>/...

An object store writes an object whole or not at all and has no rename. So files go up first and the marker last: an
artifact is there when its marker is, an upload that was cut off is never seen, and the first marker wins. What comes
down is verified against its manifest before it is used. Stages work on local files in the staging folder: all Ray
workers of a run have to see it, so on several machines it has to be a shared folder (or use one as the store).

A refresh uploads beside what is there and then overwrites the marker. The replaced upload stays while a record names it
(`Store.remove_old_generations`); runs in progress read their copy in the staging folder. An upload without a marker was
cut off, or is still on its way: it is removed `CUT_OFF_S` (7 days) after it began.
"""

import contextlib
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from glob import has_magic
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from genrec.errors import ConfigError, GenrecError
from genrec.paths import expanded
from genrec.store.artifact import MANIFEST, Artifact, Disk, mismatch
from genrec.store.local import Store

STAGING = "GENREC_STAGING"
CUT_OFF_S = 7 * 24 * 3600.0
_WHOLE_WRITES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")  # protocols that write objects atomically
_EXTRA = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}
_KEPT_OF_A_RUN = ("*.json", "*.html", "*.svg")


def is_url(store: str) -> bool:
    """Whether a store is named by a URL, not a path."""
    return "://" in store


def is_folder(store: str) -> bool:
    """Whether a store is a folder itself, by its path or a file:// URL; of others, a folder only stages the files."""
    return not is_url(store) or store.startswith("file://")


def local_root(store: str) -> Path:
    """The folder on this machine: the store itself, or where it is staged (GENREC_STAGING, or the user's cache).

    Raises ConfigError for a URL that cannot be a store.
    """
    if not is_url(store):
        return Path(expanded(store))
    parts = urlsplit(store)
    if parts.scheme == "file":
        return Path(parts.path)
    if parts.scheme not in _WHOLE_WRITES:
        raise ConfigError(f"store: {parts.scheme}:// does not write files whole; use one of {', '.join(_WHOLE_WRITES)}")
    if parts.username or parts.password or parts.query:
        raise ConfigError(
            f"store: {parts.scheme}:// with credentials in it; give them in the environment, where they are not logged"
        )
    named = os.environ.get(STAGING)
    folder = Path(expanded(named)) if named else Path.home() / ".cache" / "genrec"
    return folder / hashlib.sha256(store.rstrip("/").encode()).hexdigest()[:16]


def open_store(store: str, disk: Disk | None = None) -> Store:
    """The store at a path or a URL. Raises ConfigError or GenrecError when it cannot be one or cannot be reached."""
    root = local_root(store)
    if is_folder(store):
        return Store(root, disk)
    return RemoteStore(store, root, disk)


class RemoteStore(Store):
    """A store whose truth is at a URL; `root` is this machine's staging folder."""

    def __init__(self, url: str, root: Path, disk: Disk | None = None) -> None:
        import fsspec

        super().__init__(root, disk)
        self.url = url.rstrip("/")
        try:
            self.fs, self.base = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except ImportError:
            package = _EXTRA.get(urlsplit(url).scheme, "its fsspec package")
            raise ConfigError(f"store {url}: {package} is not installed; pip install {package}") from None

    # ---- artifacts --------------------------------------------------------------------------------------------------
    def lookup(self, key: str, digest: str | None = None) -> Artifact | None:
        """The artifact under a key, from this machine where it has the same bytes, else fetched; always verified."""
        marker = self._marker(key) if digest is None else self._marker_of(key, digest)
        found = super().lookup(key, digest)
        if marker is None:
            if found is not None and digest is None:  # the URL lost it, or is new: this machine's copy is whole
                self._publish(key, found.path, self.manifest(found), False)
            return found
        wanted = marker["manifest"]["digest"]
        if found is not None and found.digest == wanted:
            return found
        fetched = self._fetch(key, marker, current=digest is None)
        return super().lookup(key, fetched) if fetched else None

    def _fetch(self, key: str, marker: dict[str, Any], current: bool) -> str | None:
        """Copy an upload into the staging folder; its digest, or None where it is damaged (then set aside).

        Where the `current` upload is replaced meanwhile, the new one is fetched.
        """
        while True:
            with self.scratch() as folder:
                problem = self._download(key, marker, folder)
                if problem is None:
                    self.generations.install(key, folder, replace=True, current=current)
                    return marker["manifest"]["digest"]
            newest = self._marker(key) if current else None
            if newest is None or newest["upload"] == marker["upload"]:
                break
            marker = newest
        if current:
            self._set_marker_aside(key, problem)
        return None

    def _download(self, key: str, marker: dict[str, Any], folder: Path) -> str | None:
        """Fill a folder with the files of an upload; what is wrong with them, or None."""
        manifest = marker["manifest"]
        try:
            for name in manifest["files"]:
                target = folder / name
                if not target.resolve().is_relative_to(folder.resolve()):
                    raise ValueError(f"{name}: leads out of the artifact")
                target.parent.mkdir(parents=True, exist_ok=True)
                self.fs.get_file(f"{self._object(key)}/{marker['upload']}/{name}", str(target))
            problem = mismatch(folder, manifest) or ("another key" if manifest["key"] != key else None)
        except (FileNotFoundError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
        return problem

    def _publish(self, key: str, folder: Path, manifest: dict[str, Any], replace: bool) -> None:
        """Files first, the marker last. Another machine's marker wins, unless `replace`."""
        upload = f"{int(time.time()):010d}-{uuid.uuid4().hex}"
        place = f"{self._object(key)}/{upload}"
        try:
            for name in manifest["files"]:
                self.fs.makedirs(f"{place}/{name}".rpartition("/")[0], exist_ok=True)
                self.fs.put_file(str(folder / name), f"{place}/{name}")
        except BaseException:
            self._remove(place)
            raise
        before = self._marker(key) if replace else None
        if before is not None:  # before it is replaced: so that an upload is named at every moment
            self.write_document(f"earlier/{key}/{before['upload']}.json", json.dumps(before, sort_keys=True))
        marker = json.dumps({"upload": upload, "manifest": manifest}, sort_keys=True).encode()
        try:
            self.fs.pipe_file(f"{self._object(key)}.json", marker, mode="overwrite" if replace else "create")
        except FileExistsError:
            self._remove(place)
            return
        earlier = {name.removesuffix(".json") for name in self.list_documents(f"earlier/{key}")}
        for other in self._names(self._object(key)):
            if other != upload and other not in earlier and _was_cut_off(other):
                self._remove(f"{self._object(key)}/{other}")

    def _remove(self, place: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            if not has_magic(self.base):
                self.fs.rm(place, recursive=True)
                return
            for path in self.fs.find(place):  # `rm` would take the name of the store for a pattern
                self.fs.rm_file(path)

    def _marker_of(self, key: str, digest: str) -> dict[str, Any] | None:
        """The marker of the upload with a digest, the current one or one that was replaced."""
        earlier = (self._earlier(key, name) for name in self.list_documents(f"earlier/{key}"))
        for marker in (self._marker(key), *earlier):
            if marker is not None and marker["manifest"]["digest"] == digest:
                return marker
        return None

    def _earlier(self, key: str, name: str) -> dict[str, Any] | None:
        """The marker of an upload that was replaced; None where it is damaged, or another machine removed it just now."""
        try:
            marker = json.loads(self.read_document(f"earlier/{key}/{name}"))
            return marker if {"upload", "manifest"} <= marker.keys() else None
        except (GenrecError, ValueError, AttributeError):
            return None

    def remove_old_generations(self) -> int:
        keys = self.list_folders("earlier")
        removed = super().remove_old_generations()
        is_named = self._is_named() if keys else None
        for key in keys:
            current = self._marker(key)
            for name in self.list_documents(f"earlier/{key}"):
                earlier = self._earlier(key, name)
                if earlier is None or is_named is None or is_named(key, earlier["manifest"]["digest"]):
                    continue
                if current is not None and current["upload"] == earlier["upload"]:
                    continue
                self._remove(f"{self._object(key)}/{earlier['upload']}")
                self._remove(f"{self.base}/earlier/{key}/{name}")
                removed += 1
        return removed

    def _marker(self, key: str) -> dict[str, Any] | None:
        try:
            marker = json.loads(self.fs.cat_file(f"{self._object(key)}.json"))
            return marker if {"upload", "manifest"} <= marker.keys() else None
        except FileNotFoundError:
            return None
        except ValueError:
            self._set_marker_aside(key, "marker is not JSON")
            return None
        except OSError as error:
            raise GenrecError(f"store {self.url}: cannot be read ({type(error).__name__}: {error})") from None

    def _set_marker_aside(self, key: str, problem: str) -> None:
        place = f"{self.base}/corrupt/{key}-{uuid.uuid4().hex[:8]}"
        self.fs.makedirs(f"{self.base}/corrupt", exist_ok=True)
        self.fs.pipe_file(f"{place}.txt", (problem + "\n").encode())
        self._remove(f"{self._object(key)}.json")

    def _object(self, key: str) -> str:
        return f"{self.base}/objects/{key}"

    # ---- runs and documents -----------------------------------------------------------------------------------------
    def finish_run(self, run_id: str) -> None:
        super().finish_run(run_id)
        folder = self.root / "runs" / run_id
        self.fs.makedirs(f"{self.base}/runs/{run_id}", exist_ok=True)
        for path in sorted(p for pattern in _KEPT_OF_A_RUN for p in folder.glob(pattern)):
            self.fs.put_file(str(path), f"{self.base}/runs/{run_id}/{path.name}")
        self.write_document("runs/latest.json", json.dumps({"run_id": run_id}) + "\n")

    def run_named(self, run: str) -> str:
        """As in a folder; `latest` is the newest of all machines."""
        if run != "latest":
            return run
        try:
            return str(json.loads(self.read_document("runs/latest.json"))["run_id"])
        except (GenrecError, OSError, ValueError, KeyError, TypeError):
            return run  # of this machine, where none is at the URL yet, or the URL does not answer

    def finished_runs(self) -> Iterator[str]:
        for run in reversed(self._names(f"{self.base}/runs")):  # they begin with the time
            if self.fs.isfile(f"{self.base}/runs/{run}/report.json"):
                yield run

    def write_document(self, name: str, text: str, new: bool = False) -> None:
        path = f"{self.base}/{name}"
        self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            self.fs.pipe_file(path, text.encode(), mode="create" if new else "overwrite")
        except FileExistsError:
            raise GenrecError(f"store {self.url}: {name} was written by another process just now; try again") from None

    def read_document(self, name: str) -> str:
        try:
            return self.fs.cat_file(f"{self.base}/{name}").decode()
        except FileNotFoundError:
            raise GenrecError(f"store {self.url}: no {name} there") from None

    def list_documents(self, folder: str) -> list[str]:
        return [n for n in self._names(f"{self.base}/{folder}") if self.fs.isfile(f"{self.base}/{folder}/{n}")]

    def list_folders(self, folder: str) -> list[str]:
        return [n for n in self._names(f"{self.base}/{folder}") if self.fs.isdir(f"{self.base}/{folder}/{n}")]

    def _names(self, folder: str) -> list[str]:
        try:
            return sorted(str(p).rstrip("/").rpartition("/")[2] for p in self.fs.ls(folder, detail=False))
        except FileNotFoundError:
            return []


def _was_cut_off(upload: str) -> bool:
    """Whether an upload that no marker names began so long ago that it is not on its way any more."""
    began = re.match(r"(\d{10})-", upload)
    return began is None or time.time() - int(began.group(1)) > CUT_OFF_S
