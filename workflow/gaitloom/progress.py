"""What users see while something runs: a progress bar on a terminal, plain lines in a log."""

import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def say(text: str) -> None:
    """One line of information, on standard error."""
    print(f"gaitloom: {text}", file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """One line that deserves a look, on standard error."""
    say(f"warning: {text}")


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
    """Pass `items` through, showing how far they are; silent where there are none."""
    if total is None and isinstance(items, Sequence):
        total = len(items)
    if total == 0:
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as bar

        yield from bar(items, what, total=total, console=Console(stderr=True), transient=True)
        return
    step = max(1, (total or 1000) // 10)
    for done, item in enumerate(items, 1):
        yield item
        if done % step == 0 or done == total:
            say(f"{what}: {done}{f' of {total}' if total else ''}")
