"""``napari-unetstyle stylize --train-fast``: a network that gives pictures one style in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_unetstyle.cli.exit_codes import STOPPED
from napari_unetstyle.cli.previews import keeper
from napari_unetstyle.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from napari_unetstyle.core.imaging.image import Image


def train_fast(
    name: str,
    pictures: list[Path],
    styles: Sequence[str],
    *,
    minutes: float | None,
    steps: int | None,
    read: Callable[[Path], Image],
    previews: Path | None,
    **given: Any,
) -> None:
    """Train a style's network from pictures, and keep it in the bank; stopped, it leaves nothing."""
    from napari_unetstyle.core.errors import OptionError
    from napari_unetstyle.core.imaging.files import read_image
    from napari_unetstyle.core.progress import Progress, run
    from napari_unetstyle.core.segmentation.folder_inputs import find_entries
    from napari_unetstyle.core.style.bank import StyleBank
    from napari_unetstyle.core.training.fast_style import FastStyleOptions, iter_train_fast

    usual = 3.0 if steps is None else None
    options = FastStyleOptions(minutes=usual if minutes is None else minutes, steps=steps, **given)
    bank = StyleBank()
    if name in bank:
        raise OptionError(
            f"There is a style {name!r} already, and a name never changes its meaning. Give another name to "
            "--train-fast, or remove that style with `napari-unetstyle style-bank remove`."
        )
    for style in styles:
        if not Path(style).is_file() and style in bank:
            raise OptionError(
                f"The style {style!r} is kept without its picture; --train-fast needs one to look like: give a file."
            )
    looks = [read_image(style) for style in styles]
    contents = [read(entry.path) for entry in find_entries(pictures, bank.root)]
    keep = keeper(previews)
    with progress_bar() as (show, say):

        def follow(step: Progress) -> None:
            show(Progress(step.step, step.total, step.message), step.done)
            keep(name, step)

        try:
            trained = run(iter_train_fast(name, contents, looks, options), follow)
        except KeyboardInterrupt as stop:
            typer.echo("Stopped. Nothing was kept.", err=True)
            raise typer.Exit(STOPPED) from stop
        bank.add(trained)
        say(f"Style {name!r} is kept, with a network. Use it as `--style {name} --method fast`.")
