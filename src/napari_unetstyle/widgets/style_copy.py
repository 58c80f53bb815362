"""A restyled picture as text on the clipboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication

from napari_unetstyle.core.style.change import StyleOptions
from napari_unetstyle.widgets.copy_as import style_as_command_line, style_as_python
from napari_unetstyle.widgets.opening import file_with
from napari_unetstyle.widgets.settings import read_settings
from napari_unetstyle.widgets.style_layers import Style, is_kept

if TYPE_CHECKING:
    import napari.layers

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.style.kept_style import KeptStyle


def copy_style(
    image: Image,
    layer: napari.layers.Image,
    styles: Sequence[tuple[Image | KeptStyle, Style]],
    options: StyleOptions,
    key: str,
) -> None:
    """Put a finished run on the clipboard as text that makes the same pixels again."""
    known = [one.name if is_kept(one) else file_with(looked, one) or looked for looked, one in styles]
    write = style_as_python if key == "Python" else style_as_command_line
    folder = read_settings().model_folder
    where = "" if folder is None else f"# kept styles lie in {folder}: set NAPARI_UNETSTYLE_MODELS to it\n"
    text = write(image, file_with(image, layer), known, options)
    QApplication.clipboard().setText(f"{where}{text}" if any(is_kept(one) for _, one in styles) else text)
