"""A finished run as text that makes the same labels, or the same restyled picture, again: Python or a command line."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_unetstyle.core.imaging.image import Image

if TYPE_CHECKING:
    from napari_unetstyle.core.style.change import StyleOptions

_NEVER = ("memory", "tile", "backend")  # they never change a label
_DEFAULTS = {"skip_glass": True, "statistics": "picture", "plane": "YX", "link": False, "flip": False, "device": "auto"}
"""Of the options that are neither None nor always said."""
_PLAIN = re.compile(r"[\w.:/\\=@+-]+")  # what no shell of Windows takes for something else


def as_python(image: Image, model: str, options: Mapping[str, Any], path: str | None, level: int | None = None) -> str:
    """Python text that makes the labels again.

    Parameters
    ----------
    image
        The picture of the run.
    model
        Reference of the model, version included (``nuclei@2``).
    options
        The run's options as resolved: every one that has a say in the labels.
    path
        File of the picture, or None if it only lives in napari: the text then says what ``image`` must be.
    level
        Of a picture in several resolutions: the one that the run was on.
    """
    lines = ["from napari_unetstyle.core import segment", ""]
    if path is None:
        lines += _pixels_of("image", image, level)
    arguments = ["image" if path is None else repr(path), f"model={model!r}", f"axes={image.axes!r}"]
    if image.geometry.is_physical:
        arguments.append(f"spacing={spacing_um(image)!r}")
    if level is not None and path is not None:
        arguments.append(f"level={level}")
    arguments += [f"{name}={value!r}" for name, value in options.items()]
    lines += ["result = segment(", *(f"    {argument}," for argument in arguments), ")", ""]
    lines += ["labels = result.labels", ""]
    return "\n".join(lines)


def as_command_line(
    image: Image, model: str, options: Mapping[str, Any], path: str | None, level: int | None = None
) -> str:
    """A shell line that makes the labels again; without a file the line before names one to be saved first.

    Parameters are those of :func:`as_python`.
    """
    words = ["napari-unetstyle", "segment", path or f"{image.name}.tif", "-o", "out", "--model", model]
    words += ["--axes", image.axes]
    if image.geometry.is_physical:
        words += ["--spacing", ",".join(f"{s!r}" for s in spacing_um(image))]
    if level is not None and path is not None:
        words += ["--level", str(level)]
    for name, value in options.items():
        words += _flag(name, value)
    what = "the picture" if level is None else f"level {level} of the picture"
    first = [] if path is not None else [_comment(f"save {what} as {image.name}.tif first")]
    return "\n".join([*first, _line(words)])


def style_as_python(image: Image, path: str | None, styles: Sequence[str | Image], options: StyleOptions) -> str:
    """Python text that makes the restyled picture again.

    Parameters
    ----------
    image, path
        The picture that was restyled, and its file; None if it only lives in napari.
    styles
        What it was made to look like: names of kept styles and paths of files; pictures that are neither.
    options
        What it was made with.
    """
    lines = [] if path is not None else _pixels_of("image", image)
    looks = []
    for number, style in enumerate(styles, 1):
        if isinstance(style, str):
            looks.append(repr(style))
            continue
        lines += _pixels_of(f"style_{number}", style)
        looks.append(f"as_image(style_{number}, axes={style.axes!r})")
    arguments = ["image" if path is None else repr(path), looks[0] if len(looks) == 1 else f"[{', '.join(looks)}]"]
    arguments += [f"method={options.method!r}", f"strength={options.strength!r}"]
    arguments += [] if options.align else ["align=False"]
    weights = options.neural.weights
    arguments += [] if weights is None else [f"neural=GatysOptions(weights={str(weights)!r})"]
    arguments += [f"axes={image.axes!r}"]
    lines += [
        "styled = stylize(",
        *(f"    {argument}," for argument in arguments),
        ")",
        "picture = styled.image.array",
        "",
    ]
    names = "as_image, stylize" if weights is None else "GatysOptions, as_image, stylize"
    return "\n".join([f"from napari_unetstyle.core import {names}", "", *lines])


def style_as_command_line(image: Image, path: str | None, styles: Sequence[str | Image], options: StyleOptions) -> str:
    """A shell line that makes the restyled picture again; of what has no file it names one to be saved first."""
    unsaved = [picture for picture in styles if not isinstance(picture, str)] + ([image] if path is None else [])
    words = ["napari-unetstyle", "stylize", path or f"{image.name}.tif"]
    for style in styles:
        words += ["--style", style if isinstance(style, str) else f"{style.name}.tif"]
    words += ["-o", "restyled", "--method", options.method, "--strength", repr(options.strength)]
    words += [] if options.align else ["--no-align"]
    words += [] if options.neural.weights is None else ["--vgg", str(options.neural.weights)]
    words += ["--axes", image.axes]
    first = [_comment(f"save the picture as {picture.name}.tif first") for picture in unsaved]
    return "\n".join([*first, _line(words)])


def spacing_um(image: Image) -> tuple[float, ...]:
    """Pixel size ``(Z)YX`` in micrometers."""
    factor = 1e3 if image.geometry.unit == "mm" else 1.0
    return tuple(s * factor for s in image.geometry.spacing)


def deciding(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that have a say in the labels and are not left to a default."""
    return {name: value for name, value in options.items() if name not in _NEVER and value != _DEFAULTS.get(name)}


def _pixels_of(name: str, image: Image, level: int | None = None) -> list[str]:
    """Comments that say what a name must be."""
    what = f"{image.array.dtype} array of shape {tuple(image.array.shape)}, axes {image.axes}"
    data = f"viewer.layers[{image.name!r}].data" + ("" if level is None else f"[{level}]")
    return [f"# {name}: the pixels of {image.name!r}, {what}", f"# in napari: {data}"]


def _line(words: Sequence[str]) -> str:
    """What a shell of this system takes apart into `words` again; on Windows cmd.exe or PowerShell."""
    if os.name != "nt":
        return shlex.join(words)
    return " ".join(word if _PLAIN.fullmatch(word) else f'"{_escaped(word)}"' for word in words)


def _escaped(word: str) -> str:
    """A word as programs of Windows read it between quotation marks."""
    return subprocess.list2cmdline([f" {word}"])[2:-1]  # which puts marks around what has a space


def _comment(text: str) -> str:
    """A line of its own that the shell passes over."""
    return f"rem {text}" if os.name == "nt" else f"# {text}"


def _flag(name: str, value: Any) -> list[str]:
    if name == "output":
        return [f"--{value}"]
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag.removeprefix('--')}"]
    if isinstance(value, (tuple, list)):
        return [flag, ";".join(",".join(map(repr, row)) for row in value)]
    return [flag, str(value)]
