"""``napari-unetstyle style-bank``: styles that are kept under a name, handed on and taken in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from napari_unetstyle.cli import reading

HELP = """List, keep, hand on and take in styles.

A style is a file of numbers: how bright, how colored, how contrasty, of which texture. There is no picture in it,
unless you ask for a thumbnail.

**Examples**

`napari-unetstyle style-bank list`

`napari-unetstyle style-bank add scanner-2 slide.tif --about "Scanner 2, the lab's H&E"`

`napari-unetstyle stylize slides/ --style scanner-2 -o restyled/`

`napari-unetstyle style-bank export scanner-2 scanner-2.style.json`

`napari-unetstyle style-bank import scanner-2.style.json`
"""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")

_JSON = typer.Option("--json", help="Print JSON for machines, nothing else.")
_THUMBNAIL = typer.Option("--thumbnail", help="With a small picture of 64 x 64 pixels: one may see what it shows.")


@app.command("list")
def list_styles(as_json: Annotated[bool, _JSON] = False) -> None:
    """Every style: its name, and what it is the style of."""
    from napari_unetstyle.core.style.bank import StyleBank

    bank = StyleBank()
    styles, problems = bank.list(), bank.problems()
    if as_json:
        rows = [
            {**style.model_dump(include={"name", "about", "license"}), "bundled": bank.is_bundled(style.name)}
            for style in styles
        ]
        typer.echo(json.dumps({"styles": rows, "problems": {str(k): v for k, v in problems.items()}}))
        return
    width = max((len(style.name) for style in styles), default=0)
    for style in styles:
        typer.echo(f"{style.name:<{width}}  {style.about}".rstrip())
    if not styles:
        typer.echo(f"There is no style. Keep one with `add`; styles are kept in {bank.root}.")
    for problem in problems.values():
        typer.echo(f"Not usable: {problem}", err=True)


@app.command("add")
def add_style(
    name: Annotated[str, typer.Argument(help="What to call it.", show_default=False)],
    pictures: Annotated[list[Path], typer.Argument(help="Of this style; several are averaged.", show_default=False)],
    about: Annotated[str, typer.Option(help="What it is the style of. Write nothing of a patient.")] = "",
    license_note: Annotated[str, typer.Option("--license", help="What others may do with it.")] = "",
    thumbnail: Annotated[bool, _THUMBNAIL] = False,
    texture: Annotated[bool, typer.Option(help="With what `stylize --method any` needs: numbers, no picture.")] = True,
    axes: reading.Axes = None,
    level: reading.Level = 0,
    series: reading.Series = None,
) -> None:
    """Keep the style of pictures under a name."""
    from napari_unetstyle.core.imaging.files import read_image
    from napari_unetstyle.core.style.bank import StyleBank
    from napari_unetstyle.core.style.kept_style import KeptStyle

    images = [read_image(path, axes=axes, level=level, series=series) for path in pictures]
    kept = KeptStyle.of(name, images, about=about, license_note=license_note, thumbnail=thumbnail, texture=texture)
    style = StyleBank().add(kept)
    typer.echo(f"Style {style.name!r} is kept. Use it as `--style {style.name}`.")


@app.command("export")
def export_style(
    name: Annotated[str, typer.Argument(help="Of the style.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="File to write, or a folder.", show_default=False)],
    thumbnail: Annotated[bool, _THUMBNAIL] = False,
) -> None:
    """Write a style as one file to hand on."""
    from napari_unetstyle.core.style.bank import StyleBank

    path = StyleBank().export(name, out, thumbnail=thumbnail)
    typer.echo(f"{path} holds the style {name!r}{', with a thumbnail' if thumbnail else ' and no picture'}.")


@app.command("import")
def import_style(
    path: Annotated[Path, typer.Argument(help="A file that `export` wrote.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="What to call it here. [default: its own name]")] = None,
) -> None:
    """Keep a style that somebody handed on; nothing in it is run as code."""
    from napari_unetstyle.core.style.bank import StyleBank

    style = StyleBank().import_(path, name)
    typer.echo(f"Style {style.name!r} is kept. Use it as `--style {style.name}`.")


@app.command("fetch-vgg")
def fetch_vgg(
    out: Annotated[Path, typer.Argument(help="File to write, for `stylize --vgg`.", show_default=False)],
) -> None:
    """Fetch torchvision's VGG16 (528 MB) from its makers, check it, and keep the 31 MB that styles are seen with.

    The only command that uses the network, and only when it is called.
    """
    from napari_unetstyle.core.networks.features import fetch

    path = fetch(out, progress=True)
    typer.echo(f"{path} is there. Use it as `stylize --method gatys --vgg {path}`.")


@app.command("remove")
def remove_style(name: Annotated[str, typer.Argument(help="Of a style that you kept.", show_default=False)]) -> None:
    """Forget a style; those that came with the package stay."""
    from napari_unetstyle.core.style.bank import StyleBank

    StyleBank().remove(name)
    typer.echo(f"Style {name!r} was removed.")
