"""How foreign a picture is to a model, told before the network runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_unetstyle.core.imaging.stains import in_stain
from napari_unetstyle.core.imaging.turn import Turn
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.fitting import check_plane, frames_of, iter_pieces, resolved
from napari_unetstyle.core.segmentation.options import make_options
from napari_unetstyle.core.segmentation.planes import turned
from napari_unetstyle.core.segmentation.scale import scale_for
from napari_unetstyle.core.segmentation.segment import open_image
from napari_unetstyle.core.style.distance import Distance, look_of


def domain_distance(
    image: Any,
    model: Model | str | Path = "nuclei",
    *,
    axes: str | None = None,
    store: ModelStore | None = None,
    **options: Any,
) -> Distance | None:
    """How unlike the pictures of its training a picture is to a model, without running the network.

    Parameters
    ----------
    image
        numpy, dask or zarr array, :class:`~napari_unetstyle.core.Image`, or the path of a picture file.
    model
        Name in the store, model folder, or a loaded model.
    axes
        Of an array, one letter an axis; needed unless it is 2D or ends in 3 or 4 colors.
    store
        Where models are looked up; the person's own by default.
    **options
        See :class:`~napari_unetstyle.core.SegmentOptions`; ``channel`` and ``plane`` matter.

    Returns
    -------
    Distance
        ``distance.value`` in spreads of the looks that the model was taught, ``distance.words`` for a person; the
        same as ``segment(image, model).distance``. None where the model does not say what it has seen.

    Raises
    ------
    UnetstyleError
        In words, if picture, model or an option is not usable.
    """
    picture, chosen = open_image(image, axes=axes), make_options(**options)
    spec = (model if isinstance(model, Model) else (store or ModelStore()).load(model)).spec
    check_plane(picture, spec, chosen)
    picture = turned(in_stain(picture, chosen.channel), chosen.plane)
    picture = Turn.of(picture, spec.input.orientation).image(picture)
    chosen = resolved(chosen, spec, picture)
    frames = frames_of(picture, spec.network.spatial_dims, chosen)
    shared = tuple(picture.frames(spec.network.spatial_dims)) if chosen.statistics == "picture" else frames[:1]
    pieces = run(iter_pieces(picture, spec, chosen, scale_for(picture, spec, chosen), shared))
    return Distance.of(look_of(pieces), spec)
