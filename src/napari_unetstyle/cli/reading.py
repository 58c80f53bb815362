"""Options that say how pictures are read, of the commands that look at styles."""

from __future__ import annotations

from typing import Annotated

import typer

Axes = Annotated[str | None, typer.Option(help="Axes of the pictures where their files do not say.")]
Level = Annotated[int, typer.Option(help="Which resolution of pictures that have several, 0 is the finest.", min=0)]
Series = Annotated[
    str | None, typer.Option(help="Which series of a DICOM folder, where there are several: its number.")
]
