"""The three kinds of weight files, and the check that each passes before its model is loaded.

All have `label`, `sha256`, `licence` and `verify()` → path: `Weight` lies inside an installed package, `Download` is
published somewhere (the registry is in `gaitloom.weights`), and `Local` is a file that the configuration names. Light
to import: the planner does so.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaitloom.errors import GaitloomError
from gaitloom.progress import say


def folder() -> Path:
    """Where downloaded weights lie: `$GAITLOOM_WEIGHTS`, or `~/.cache/gaitloom/weights`; users may share it."""
    return Path(os.environ.get("GAITLOOM_WEIGHTS") or "~/.cache/gaitloom/weights").expanduser().absolute()


@dataclass(frozen=True)
class Weight:
    """A weight file carried inside an installed package: where it lies, and the SHA-256 it must have."""

    package: str
    path: str
    sha256: str
    licence: str | None = None  # where it is not the backend's

    @property
    def label(self) -> str:
        """Its name in recipes."""
        return self.path

    def verify(self) -> Path:
        """Return the file's path after checking its hash; a backend calls this before it loads the model.

        Raises:
            GaitloomError: the file is missing or is not the one that the recipe names.
        """
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise GaitloomError(f"The package {self.package} is not installed; run `make env`.")
        file = Path(spec.submodule_search_locations[0]) / self.path
        if not file.is_file():
            raise GaitloomError(f"The weights {file} are missing; run `make env` to reinstall {self.package}.")
        if fault := fault_of(file, self.sha256):
            raise GaitloomError(f"The weights {file} {fault}; run `make env` to reinstall the pinned {self.package}.")
        return file


@dataclass(frozen=True)
class Download:
    """A published weight file: its name in the cache, where it comes from, and what it must be."""

    name: str
    url: str | None  # of the file itself; None where it can only be fetched by hand
    size: int  # bytes
    sha256: str
    licence: str
    source: str  # who publishes it, or where a person finds it
    checked: str  # the day on which hash, size and address were last compared with their sources

    @property
    def label(self) -> str:
        """Its name in recipes."""
        return self.name

    @property
    def place(self) -> Path:
        """Where it lies, or will."""
        return folder() / self.name

    @property
    def by_hand(self) -> str:
        """How a person gets it: the end of a sentence."""
        return f"get {self.origin} and put it at {self.place}"

    @property
    def origin(self) -> str:
        """Where it is to be had, and how to know it."""
        return f"{self.url or f'{self.name} from {self.source}'} ({self.size} bytes, SHA-256 {self.sha256})"

    def verify(self) -> Path:
        """Return the file's path after checking size and hash; downloads it first where it is not in the cache.

        Raises:
            GaitloomError: it cannot be had, or what lies there is another file.
        """
        if not self.place.is_file():
            self._fetch()
        if fault := fault_of(self.place, self.sha256, self.size):
            raise GaitloomError(f"The weights {self.place} {fault}; remove them and try again, or {self.by_hand}.")
        return self.place

    def _fetch(self) -> None:
        """Download into a folder of our own beside the place, check, and publish by one rename: others see all or
        nothing. What came of a download that broke off is kept, and the next one goes on from there."""
        if self.url is None:
            raise GaitloomError(f"The weights {self.name} cannot be fetched by a program; {self.by_hand}.")
        draft = folder() / f".{self.name}~{socket.gethostname()}~{os.getpid()}~{uuid.uuid4().hex[:8]}"
        try:
            folder().mkdir(parents=True, exist_ok=True)
            with _one_at_a_time() as alone:
                if self.place.is_file():
                    return
                _sweep()
                draft.mkdir()
                begun = folder() / f".{self.name}.part" if alone else draft / "part"
                file = self._retrieve(self.url, draft, begun)
                file.chmod(draft.stat().st_mode & 0o666)  # pooch's files are ours alone; the cache may be shared
                file.replace(self.place)
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; ValueError: not the pinned hash
            raise GaitloomError(
                f"The weights {self.name} cannot be fetched ({_why(error)}); {self.by_hand}."
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _retrieve(self, url: str, draft: Path, begun: Path) -> Path:
        import pooch

        def get(url: str, output: str, _: Any) -> None:
            self._download(url, begun)
            begun.replace(output)

        say(f"fetching {url} ({self.size / 1e6:.1f} MB)")
        pooch.get_logger().setLevel("WARNING")
        downloader: Any = get
        return Path(pooch.retrieve(url, f"sha256:{self.sha256}", self.name, draft, downloader=downloader))

    def _download(self, url: str, begun: Path) -> None:
        """Fill `begun` up to the end, from where it ends if the server can (RFC 9110, section 14)."""
        import requests

        have = begun.stat().st_size if begun.is_file() else 0
        if have >= self.size:
            have = 0
        ask = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, stream=True, timeout=30, headers=ask) as answer:  # seconds without a byte
            answer.raise_for_status()
            going_on = have and answer.status_code == requests.codes.partial_content
            with begun.open("ab" if going_on else "wb") as file:
                for piece in answer.iter_content(1 << 20):
                    file.write(piece)


@dataclass(frozen=True)
class Local:
    """A weight file that the configuration names by its path; what is known of it if the registry has its hash."""

    place: Path
    sha256: str
    known: Download | None = None

    @property
    def label(self) -> str:
        """Its name in recipes: never its path."""
        return self.known.name if self.known else "weights"

    @property
    def licence(self) -> str:
        """As the registry has it; of other files only their owner knows."""
        return self.known.licence if self.known else "unknown"

    def verify(self) -> Path:
        """Return the file's path after checking its hash.

        Raises:
            GaitloomError: it is missing or another file.
        """
        fault = fault_of(self.place, self.sha256, self.known.size if self.known else None)
        if fault:
            wanted = self.known.origin if self.known else f"the file with SHA-256 {self.sha256}"
            raise GaitloomError(f"The weights {self.place} {fault}; put {wanted} there, or correct the configuration.")
        return self.place


AnyWeight = Weight | Download | Local


def fault_of(file: Path, sha256: str, size: int | None = None) -> str | None:
    """What is wrong with a file, as the end of a sentence; None where it is the expected one."""
    try:
        if size is not None and file.stat().st_size != size:
            return f"have {file.stat().st_size} bytes, not {size}"
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return "are missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if found == sha256 else f"have SHA-256 {found}, not {sha256}"


def _why(error: Exception) -> str:
    """A failed download in a few words."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror}: {error.filename or folder()}"
    return "what came has another SHA-256" if type(error) is ValueError else f"no connection, {type(error).__name__}"


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[bool]:
    """Hold the cache, so that jobs that start together download once; whether it could be held. Some file systems
    cannot lock: then each downloads for itself, and the last rename wins, with the same content."""
    descriptor = os.open(folder(), os.O_RDONLY)
    try:
        alone = False
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            alone = True
        yield alone
    finally:
        os.close(descriptor)


def _sweep() -> None:
    """Remove what dead processes of this host left."""
    import psutil

    for left in folder().glob(".*~*~*~*"):
        _, host, pid, _ = left.name.rsplit("~", 3)
        if host == socket.gethostname() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
