"""The command ``napari-unetstyle``. Nothing heavy is imported before it is needed, so help comes at once."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_unetstyle import __version__
from napari_unetstyle.cli import evaluate, models, segment, style_bank, stylize, teach
from napari_unetstyle.cli.exit_codes import BAD_INPUT, STOPPED
from napari_unetstyle.core.errors import UnetstyleError

HELP = """Segment pictures with a UNet: find nuclei, axons and more, measure them, and compare with the truth.

Research use only, not a medical device.

**Examples**

Each object gets its own number; labels go to `out/`, one table of all objects to `out/objects.csv`:

`napari-unetstyle segment slides/*.tif -o out/ --model nuclei --objects --csv`

Which models are there, and what is one of them for?

`napari-unetstyle models list`

`napari-unetstyle models show nuclei`

The model misses some? Correct a few pictures, and teach it:

`napari-unetstyle teach --images slides/ --labels corrected/ --model nuclei --minutes 2`

Make pictures look like those of another microscope:

`napari-unetstyle stylize slides/ --style other.tif -o restyled/`

How good are labels?

`napari-unetstyle evaluate out/slide.tif truth/slide.tif`

**Exit codes**: 0 all went well; 1 some pictures failed, the others are done (of `teach`: no better, nothing kept);
2 nothing could be done, and a sentence says why.
"""


class _Commands(TyperGroup):
    """Whatever a command does when it is stopped from the keyboard and has nothing better to say."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            typer.echo("Stopped.", err=True)
            raise typer.Exit(STOPPED) from stop


app = typer.Typer(
    name="napari-unetstyle",
    cls=_Commands,
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("segment", no_args_is_help=True, help=segment.HELP)(segment.segment_pictures)
app.command("evaluate", no_args_is_help=True, help=evaluate.HELP)(evaluate.evaluate_labels)
app.command("teach", no_args_is_help=True, help=teach.HELP)(teach.teach_model)
app.command("stylize", no_args_is_help=True, help=stylize.HELP)(stylize.stylize_pictures)
app.add_typer(models.app, name="models")
app.add_typer(style_bank.app, name="style-bank")


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"napari-unetstyle {__version__} (research use only, not a medical device)")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options that stand before a command."""


def main() -> None:
    """Run the command line; what cannot be done is said in a sentence, with exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end a run
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except UnetstyleError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
