"""Progress on the terminal: a bar where a person looks, silence where a log file does."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["say", "track"]


@contextlib.contextmanager
def track(description: str, *, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error while the block runs.

    Parameters
    ----------
    description
        What is going on.
    total
        Number of steps.

    Yields
    ------
    Callable[[int], None]
        Call it with the number of steps done since the last call.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(description, total=total)
        yield lambda steps: progress.advance(task, steps)


def say(text: str) -> None:
    """Write one line to standard error, where progress goes."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(text, markup=False)
