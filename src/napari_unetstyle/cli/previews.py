"""Pictures of what is getting there, as files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_unetstyle.core.progress import Progress

    Keeper = Callable[[str, Progress], None]


def keeper(folder: Path | None) -> Keeper:
    """What writes the previews of a run into a folder, ``NAME-001.png`` and so on; without one it does nothing.

    Raises
    ------
    OptionError
        If there is something in the folder.
    """
    if folder is None:
        return lambda name, step: None
    from napari_unetstyle.core.errors import OptionError

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OptionError(f"There is something at {folder} already. Give a new or an empty folder for --previews.")
    counted = Counter[str]()

    def keep(name: str, step: Progress) -> None:
        from napari_unetstyle.core.style.perceptual import StyleProgress

        if isinstance(step, StyleProgress) and step.preview is not None:
            counted[name] += 1
            _write(folder / f"{name}-{counted[name]:03}.png", step.preview)

    return keep


def _write(path: Path, preview: NDArray[np.float32]) -> None:
    """``(C, Y, X)`` in 0..1, as 8-bit PNG."""
    import imagecodecs
    import numpy as np

    from napari_unetstyle.core.files import atomic_write

    pixels = np.rint(255 * np.moveaxis(preview, 0, -1).clip(0, 1)).astype(np.uint8)
    shown = np.ascontiguousarray(pixels[..., 0] if len(preview) == 1 else pixels)
    atomic_write(path, bytes(imagecodecs.png_encode(shown)))
