"""What a job finds out about a style: the pixels of a part in sight, and whether labels still fit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.progress import Progress
from napari_unetstyle.core.style.change import TRAINED, StyleOptions
from napari_unetstyle.core.style.content_check import check_content
from napari_unetstyle.core.style.fast import FastStyle
from napari_unetstyle.core.style.given import look_of, reference_of, trained_style
from napari_unetstyle.core.style.pixels import Pixels, channels_first
from napari_unetstyle.core.style.reference import Reference
from napari_unetstyle.core.style.stylize import Styling
from napari_unetstyle.widgets.style_preview import IN_ONE_PASS, SIDE, StylePreviewed

if TYPE_CHECKING:
    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.style.stylize import Styled
    from napari_unetstyle.widgets.style_preview import StyleRequest

JUDGED = 1024  # pixels along a side of a slice of a result in which its labels are checked
SLICES = 5  # of a result of many
LOOKING = "looking whether the labels fit"

Index = tuple[int | slice, ...]


def iter_preview(request: StyleRequest, kept: dict[Any, Any]) -> Steps[StylePreviewed]:
    """The part in sight before and after; `kept` holds what is known of the whole between calls."""
    yield Progress(0, 1)
    looks = (request.image, *request.styles)
    key = (*(id(getattr(look, "array", look)) for look in looks), request.image.axes)
    if key not in kept:
        kept.clear()
        kept[key] = Known(request)
        yield Progress(0, 1)
    known: Known = kept[key]
    styling = known.styling(request.options)
    yield Progress(0, 1)
    part = known.passed if request.options.method in IN_ONE_PASS else lambda styling, at: styling.part(*at)
    shown = StylePreviewed(before=styling.pixels[:, *request.at], after=part(styling, request.at))
    if (judged := request.judged) is None:
        return shown
    yield Progress(0, 1)
    after = shown.after if judged.at == request.at else part(styling, judged.at)
    check = check_content(styling.pixels[:, *judged.at], after, judged.labels)
    return dataclasses.replace(shown, words=check.words)


class Known:
    """A picture and styles that were looked at, whatever is done with them.

    Statistics are of the picture alone, so that another strength, polarity or method reads nothing anew.

    Parameters
    ----------
    request
        Whose picture and styles these are.

    Raises
    ------
    UnetstyleError
        In words, if one of them is not usable.
    """

    def __init__(self, request: StyleRequest) -> None:
        self._request = request  # keeps what has the ids
        self._looked = Styling.of(request.image, [reference_of(style) for style in request.styles], StyleOptions())
        self._content = Reference.of(np.broadcast_to(self._looked.pixels, self._looked.shape))
        self._networks: dict[str, FastStyle] = {}
        self._pass: tuple[Any, Pixels, Pixels, Callable[[Pixels], Any]] | None = None

    def styling(self, options: StyleOptions) -> Styling:
        """As :meth:`Styling.of`; errors as there."""
        looked, content = self._looked, self._content
        if options.method in IN_ONE_PASS and looked.channels not in (1, 3):
            return Styling.of(self._request.image, self._request.styles, options)  # which says what is wrong
        return Styling.known(looked.pixels, content, looked.wanted, options, looked.scale)

    def passed(self, styling: Styling, at: Index) -> NDArray[Any]:
        """A part ``(C, Y, X)`` as a method in one pass makes it, in the picture's type.

        Of a slice of at most `SIDE` x `SIDE` pixels these are the pixels of the whole picture, to the bit. In a larger
        one the network takes its means of the part alone: of 512 x 512 pixels of nuclei, three quarters of each side
        differ from the same pixels of the whole by 0.3 gray values of 255 on average, one in a hundred by more than 2,
        where the pass itself changes 1.2.
        """
        options = styling.options
        if options.strength == 0:  # the picture itself, as it is
            return styling.part(*at)
        sizes = [n for n, one in zip(styling.shape[1:], at, strict=True) if isinstance(one, slice)]
        is_whole = math.prod(sizes) <= SIDE * SIDE
        taken = tuple(slice(None) if is_whole and isinstance(one, slice) else one for one in at)
        key = options.method, options.align, str(taken)
        if self._pass is None or self._pass[0] != key:
            unit, start, back = styling.started(*taken)
            self._pass = key, unit, self._network(options)(start), back
        _, unit, made, back = self._pass
        upright = 1 - unit if styling.is_inverted else unit
        whole: NDArray[Any] = back((1 - options.strength) * upright + options.strength * made)
        return whole[:, *(one for one in at if isinstance(one, slice))] if is_whole else whole

    def _network(self, options: StyleOptions) -> FastStyle:
        if options.method not in self._networks:
            styles, device = self._request.styles, options.neural.device
            if options.method in TRAINED:
                made = FastStyle.of([trained_style(style) for style in styles], device)
            else:
                made = FastStyle.of_looks([look_of(style) for style in styles], self._looked.wanted, device)
            self._networks[options.method] = made
        return self._networks[options.method]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A restyled picture, and whether labels of the picture still fit, in words; none without labels."""

    styled: Styled
    words: str = ""


def iter_judged(steps: Steps[Styled], image: Image, labels: Any | None) -> Steps[Judged]:
    """A job of a restyled picture whose labels are checked when it is done.

    Parameters
    ----------
    steps
        The job.
    image
        The picture.
    labels
        On its grid, in its own order of axes without ``C``; lazy if need be.
    """
    styled = yield from steps
    if labels is None:
        return Judged(styled=styled)
    yield Progress(1, 1, LOOKING)
    try:
        words = yield from _iter_words(channels_first(image), channels_first(styled.image), labels)
    except UnetstyleError as error:  # the picture is made all the same
        words = f"Whether its labels still fit was not checked: {error}"
    return Judged(styled=styled, words=words)


def _iter_words(before: NDArray[Any], after: NDArray[Any], labels: Any) -> Steps[str]:
    frames = []
    for index in np.ndindex(labels.shape[:-2]):
        if np.asarray(labels[index]).any():
            frames.append(index)
        yield Progress(1, 1, LOOKING)
    checks = []
    for place in sorted({*np.linspace(0, len(frames) - 1, SLICES).round().astype(int).tolist()}) if frames else []:
        marked = np.asarray(labels[frames[place]])
        part = tuple(_around(np.flatnonzero(marked.any(axis=axis)), marked.shape[1 - axis]) for axis in (1, 0))
        at = (slice(None), *frames[place], *part)
        checks.append(check_content(before[at], after[at], marked[part]))
        yield Progress(1, 1, LOOKING)
    if not checks:
        return ""
    bad = [check for check in checks if not check.holds]
    where = [f"in {len(bad or checks)} of {len(checks)} slices"] if len(checks) > 1 else []
    where += [f"looked at in {JUDGED} x {JUDGED} pixels"] if max(labels.shape[-2:]) > JUDGED else []
    said = (bad or checks)[0].words
    return f"{', '.join(where).capitalize()}: {said}" if where else said


def _around(marked: NDArray[np.int64], size: int) -> slice:
    """Rows, or columns, in the middle of those that are marked."""
    first = min(max(0, int(np.median(marked)) - JUDGED // 2), max(0, size - JUDGED))
    return slice(first, min(size, first + JUDGED))
