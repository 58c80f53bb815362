"""Where tissue lies on a slide, which is mostly glass: found on a coarse level, before a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.image import ArrayLike
from napari_unetstyle.core.segmentation.fitted import Fitted
from napari_unetstyle.core.segmentation.flips import Box
from napari_unetstyle.core.segmentation.remembered import around

_CELLS = 2**18  # pixels that a slide is looked at with: at least, and at most four times as many
_ROWS = 64  # of cells that are read at once
_BRIGHT, _GRAY = 210, 0.06  # glass is at least so bright, and its channels are at most so far apart
_BLACK = 5  # what no scanner sees of light: not scanned
_LEAST, _MOST = 8, 32  # of 255: less taken from the light of the glass is glass, more is not
_GAP = 2  # cells across which tissue is closed
_SPECK = 2**-14  # share of the slide below which a piece is dust
_STREWN = 2**-9  # of the slide, and an eighth of what was found: so much is no dust, but cells of a smear
_WORTH = 0.95  # of its cost, to which a box has to come down by being cut


@dataclass(frozen=True, kw_only=True)
class Tissue:
    """What of a slide is computed.

    Attributes
    ----------
    boxes
        Disjoint parts of the labels' grid, in pixels; all tissue lies in them, with a margin.
    share
        Of the slide, without the margin; None if tissue could not be told from glass and everything is computed.
    """

    boxes: tuple[Box, ...]
    share: float | None

    @property
    def words(self) -> str:
        """A sentence for the result."""
        if self.share is None:
            return "Tissue could not be told from glass on this slide, so all of it was segmented."
        if not self.boxes:
            return "No tissue was found on this slide: it counts as glass, and nothing was segmented."
        return f"Tissue is {self.share:.1%} of this slide; glass away from it was not segmented."


def find_tissue(fitted: Fitted, margin: int) -> Tissue | None:
    """The tissue of a slide; None of other pictures, and where a part was chosen or all of the slide is wanted.

    Parameters
    ----------
    fitted
        To the slide.
    margin
        Pixels around tissue that are computed, too, so that objects in it are what they are in the whole slide.
    """
    options, source = fitted.options, fitted.source
    is_open = options.skip_glass and options.box is None and options.polygon is None
    if source.overview is None or not is_open or fitted.dims != 2 or source.label_axes != "YX" or not source.is_color:
        return None
    shape, overview = source.label_shape, source.overview()
    whole = tuple(slice(0, n) for n in shape)
    mask = tissue_mask(_shrunk(overview)) if _is_alike(overview.shape[:2], shape) else None
    if mask is None:
        return Tissue(boxes=(whole,), share=None)
    cells = [n / count for n, count in zip(shape, mask.shape, strict=True)]
    return Tissue(boxes=_boxes(_grown(mask, margin, cells), _halo(fitted), shape), share=float(mask.mean()))


def _is_alike(overview: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether both can show the same place; a level may lack what was left over at the border."""
    (h, w), (height, width) = overview, shape
    return abs(h * width - w * height) <= max(height, width) + max(h, w)


def _shrunk(array: ArrayLike) -> NDArray[np.uint8]:
    """Mean colors ``(Y, X, 3)`` in even cells, read band by band."""
    height, width = array.shape[:2]
    step = max(1, math.isqrt(height * width // _CELLS))
    rows, columns = (np.linspace(0, n, max(1, n // step) + 1).astype(int) for n in (height, width))
    out = np.empty((len(rows) - 1, len(columns) - 1, 3), np.uint8)
    for i in range(0, len(out), _ROWS):
        edges = rows[i : i + _ROWS + 1]
        band = np.asarray(array[int(edges[0]) : int(edges[-1])])[..., :3]
        sums = np.add.reduceat(band, edges[:-1] - edges[0], axis=0, dtype=np.uint32)
        sums = np.add.reduceat(sums, columns[:-1], axis=1)
        out[i : i + _ROWS] = sums // (np.diff(edges)[:, None, None] * np.diff(columns)[:, None])
    return out


def tissue_mask(colors: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Which pixels of a small picture of a slide are tissue; None if it cannot be told.

    Glass is what is brightest, if that is gray. What a pixel takes from its light, in the color of which it takes most
    (dark gray and pale pink alike), is split by Otsu's threshold, within narrow bounds so that neither noise on empty
    glass nor the dark ink of a pen decides it; then gaps are closed and specks dropped. So do CLAM (Lu et al. 2021),
    HistomicsTK and TIAToolbox. Black and pure white were not scanned. What is missed is never computed, so ink and the
    edges of the glass stay in.

    Parameters
    ----------
    colors
        uint8 ``(Y, X, 3)``.
    """
    from scipy import ndimage
    from skimage import filters, morphology

    black = ndimage.maximum_filter(colors.max(axis=-1) <= _BLACK, 7)  # with its border, which is a mixture
    white = colors.min(axis=-1) == 255
    scanned = ~black & ~white
    if not scanned.any():
        return np.zeros(scanned.shape, bool)
    smooth = ndimage.gaussian_filter(colors.astype(np.float32), (1, 1, 0))
    glass = _glass(smooth[scanned])
    if glass is None and white.mean() < 1 / 100:
        return None
    taken = np.clip(((255 if glass is None else glass) - smooth).max(axis=-1), 0, _MOST)
    threshold = max(_LEAST, filters.threshold_otsu(taken[scanned]))  # type: ignore[no-untyped-call]
    mask = morphology.closing((taken > threshold) & ~black, morphology.disk(_GAP))  # type: ignore[no-untyped-call]
    pieces, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    is_speck = sizes < _SPECK * mask.size
    specks = sizes[is_speck].sum()
    if specks > _STREWN * mask.size and specks > sizes.sum() / 8:
        return None
    kept: NDArray[np.bool_] = ~is_speck[pieces]
    return kept


def _glass(pixels: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The color of the brightest pixels and those that are hardly darker, if it can be that of glass."""
    darkest = pixels.min(axis=-1)
    color: NDArray[np.float32] = np.median(pixels[darkest >= np.percentile(darkest, 99) - _LEAST], axis=0)
    return color if color.min() >= _BRIGHT and np.ptp(color) <= _GRAY * color.max() else None


def _grown(mask: NDArray[np.bool_], margin: int, cells: list[float]) -> NDArray[np.bool_]:
    from scipy import ndimage

    sides = [2 * (math.ceil(margin / cell) + 1) + 1 for cell in cells]
    grown: NDArray[np.bool_] = ndimage.maximum_filter(mask, sides, mode="constant")
    return grown


def _halo(fitted: Fitted) -> list[float]:
    """Pixels of the labels' grid that are computed around a box, along each axis."""
    from napari_unetstyle.core.inference.streaming import Reach

    return [Reach.of(fitted.model.network, axis).halo / scale for axis, scale in enumerate(fitted.scale)]


def _boxes(mask: NDArray[np.bool_], halo: list[float], shape: tuple[int, ...]) -> tuple[Box, ...]:
    """Disjoint boxes of a picture of `shape` that cover a coarse mask of it, cut where that saves work."""
    edges = [np.linspace(0, n, count + 1).round().astype(int) for n, count in zip(shape, mask.shape, strict=True)]
    border = [2 * h * count / n for h, count, n in zip(halo, mask.shape, shape, strict=True)]
    return tuple(
        tuple(slice(int(edge[s.start]), int(edge[s.stop])) for edge, s in zip(edges, box, strict=True))
        for box in _cut(mask, border, (0, 0))
    )


def _cut(mask: NDArray[np.bool_], border: list[float], origin: tuple[int, ...]) -> list[Box]:
    """The box around what is in a mask, or those of its two halves where it is best cut, if they cost less."""
    box = around(mask)
    if box is None:
        return []
    mask, origin = mask[box], tuple(o + s.start for o, s in zip(origin, box, strict=True))
    costs = [_costs(mask.swapaxes(0, axis), border[axis], border[1 - axis]) for axis in (0, 1)]
    axis = min((0, 1), key=lambda a: costs[a].min(initial=np.inf))
    if costs[axis].min(initial=np.inf) > _WORTH * math.prod(n + b for n, b in zip(mask.shape, border, strict=True)):
        return [tuple(slice(o, o + n) for o, n in zip(origin, mask.shape, strict=True))]
    at = int(costs[axis].argmin()) + 1
    key: Any = (slice(None),) * axis
    second = tuple(o + at * (a == axis) for a, o in enumerate(origin))
    return [*_cut(mask[(*key, slice(at))], border, origin), *_cut(mask[(*key, slice(at, None))], border, second)]


def _costs(mask: NDArray[np.bool_], along: float, across: float) -> NDArray[np.float64]:
    """Pixels that both halves take together if a mask is cut behind its first row, its second, …"""
    before, behind = (_areas(half, along, across) for half in (mask, mask[::-1]))
    return before[:-1] + behind[-2::-1]


def _areas(mask: NDArray[np.bool_], along: float, across: float) -> NDArray[np.float64]:
    """Pixels that the box around the first row takes, the first two, …; the first row is not empty."""
    seen = np.logical_or.accumulate(mask, axis=0)
    widths = mask.shape[1] - seen.argmax(axis=1) - seen[:, ::-1].argmax(axis=1)
    heights = np.maximum.accumulate(np.where(mask.any(axis=1), np.arange(1, len(mask) + 1), 0))
    areas: NDArray[np.float64] = (heights + along) * (widths + across)
    return areas
