"""Progress on the terminal: a bar where a person looks, silence where a log file does."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

__all__ = ["Advance", "say", "track"]


class Advance(Protocol):
    """What :func:`track` gives; call it with the number of steps done since the last call."""

    def __call__(self, steps: int, /, *, text: str | None = None) -> None:
        """Move the bar on; `text` replaces what stands behind it, where :func:`track` was given one."""


@contextlib.contextmanager
def track(description: str, *, total: int | None, done: int = 0, text: str | None = None) -> Iterator[Advance]:
    """Show a progress bar on standard error while the block runs.

    Parameters
    ----------
    description
        What is going on.
    total
        Number of steps; None where that is not known yet.
    done
        Those of them that need not be done any more.
    text
        What stands behind the bar at first, such as ``"0 flagged"``; None for nothing, now and later.

    Yields
    ------
    Advance
        Call it with the number of steps done since the last call.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = _console()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *([] if text is None else [TextColumn("{task.fields[text]}", markup=False)]),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(description, total=total, completed=done, text=text)

        def advance(steps: int, /, *, text: str | None = None) -> None:
            progress.advance(task, steps)
            if text is not None:
                progress.update(task, text=text)

        yield advance


def say(text: str) -> None:
    """Write one line to standard error, above the bar if there is one; the terminal, not we, wraps it."""
    _console().print(text, markup=False, soft_wrap=True)


@functools.cache
def _console() -> Console:
    """Return the one console: a line written through another would be wrapped by the bar it meets."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)
