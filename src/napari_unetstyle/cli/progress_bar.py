"""A bar on stderr that knows the time left."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from napari_unetstyle.core.progress import Progress

Show = Callable[["Progress", str], None]


class Print(Protocol):
    """Prints a line on stdout, or on stderr."""

    def __call__(self, text: str, *, err: bool = False) -> None:
        """Print it."""


@contextlib.contextmanager
def progress_bar() -> Iterator[tuple[Show, Print]]:
    """What moves the bar on (a step, and how far it is in words), and what prints a line beside it."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.fields[what]}"), BarColumn(), TextColumn("{task.fields[done]}"), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task("", total=None, what="Starting", done="")

        def show(step: Progress, done: str) -> None:
            bar.update(task, completed=step.step, total=step.total, what=step.message[:60], done=done)

        def say(text: str, *, err: bool = False) -> None:
            if err or (console.is_terminal and sys.stdout.isatty()):
                bar.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                typer.echo(text)

        yield show, say
