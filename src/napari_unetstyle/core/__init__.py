"""The headless core: everything that the dock and the command line do, as Python functions.

Names are loaded when they are first used, so importing this package is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unetstyle.core.annotation.corrections import Correction
    from napari_unetstyle.core.errors import UnetstyleError
    from napari_unetstyle.core.imaging.files import read_image
    from napari_unetstyle.core.imaging.geometry import Geometry
    from napari_unetstyle.core.imaging.image import Image, as_image
    from napari_unetstyle.core.imaging.picture_file import write_image
    from napari_unetstyle.core.metrics import evaluate
    from napari_unetstyle.core.models.model import Model
    from napari_unetstyle.core.models.store import ModelStore
    from napari_unetstyle.core.progress import Progress, run
    from napari_unetstyle.core.segmentation.agreement import Agreement, compare_models
    from napari_unetstyle.core.segmentation.deciding import refine
    from napari_unetstyle.core.segmentation.foreign import domain_distance
    from napari_unetstyle.core.segmentation.full_resolution import full_resolution
    from napari_unetstyle.core.segmentation.measure import measure
    from napari_unetstyle.core.segmentation.options import SegmentOptions
    from napari_unetstyle.core.segmentation.output import write_labels, write_table
    from napari_unetstyle.core.segmentation.output_outlines import write_geojson, write_rois
    from napari_unetstyle.core.segmentation.result import SegmentResult
    from napari_unetstyle.core.segmentation.segment import iter_segment, segment
    from napari_unetstyle.core.style.augment import StyleAugment
    from napari_unetstyle.core.style.bank import StyleBank
    from napari_unetstyle.core.style.change import StyleOptions
    from napari_unetstyle.core.style.content_check import ContentCheck, check_content
    from napari_unetstyle.core.style.gatys import GatysOptions
    from napari_unetstyle.core.style.given import reference_of
    from napari_unetstyle.core.style.kept_style import KeptStyle
    from napari_unetstyle.core.style.reference import Reference
    from napari_unetstyle.core.style.stylize import Styled, iter_stylize, stylize
    from napari_unetstyle.core.training.candidate import Candidate
    from napari_unetstyle.core.training.fast_style import FastStyleOptions, iter_train_fast
    from napari_unetstyle.core.training.finetune import fine_tune, iter_fine_tune, iter_teach_new, teach_new
    from napari_unetstyle.core.training.options import FineTuneOptions
    from napari_unetstyle.core.training.style_trial import iter_try_styles, try_styles

_HOMES = {
    "Correction": "annotation.corrections",
    "UnetstyleError": "errors",
    "read_image": "imaging.files",
    "Geometry": "imaging.geometry",
    "Image": "imaging.image",
    "as_image": "imaging.image",
    "evaluate": "metrics",
    "Model": "models.model",
    "ModelStore": "models.store",
    "Progress": "progress",
    "run": "progress",
    "Agreement": "segmentation.agreement",
    "compare_models": "segmentation.agreement",
    "domain_distance": "segmentation.foreign",
    "full_resolution": "segmentation.full_resolution",
    "measure": "segmentation.measure",
    "SegmentOptions": "segmentation.options",
    "write_geojson": "segmentation.output_outlines",
    "write_image": "imaging.picture_file",
    "write_labels": "segmentation.output",
    "write_rois": "segmentation.output_outlines",
    "write_table": "segmentation.output",
    "SegmentResult": "segmentation.result",
    "iter_segment": "segmentation.segment",
    "refine": "segmentation.deciding",
    "segment": "segmentation.segment",
    "Reference": "style.reference",
    "ContentCheck": "style.content_check",
    "GatysOptions": "style.gatys",
    "reference_of": "style.given",
    "KeptStyle": "style.kept_style",
    "StyleAugment": "style.augment",
    "StyleBank": "style.bank",
    "check_content": "style.content_check",
    "StyleOptions": "style.change",
    "Styled": "style.stylize",
    "iter_stylize": "style.stylize",
    "stylize": "style.stylize",
    "Candidate": "training.candidate",
    "FastStyleOptions": "training.fast_style",
    "iter_train_fast": "training.fast_style",
    "fine_tune": "training.finetune",
    "iter_fine_tune": "training.finetune",
    "iter_teach_new": "training.finetune",
    "teach_new": "training.finetune",
    "FineTuneOptions": "training.options",
    "iter_try_styles": "training.style_trial",
    "try_styles": "training.style_trial",
}

__all__ = [
    "Agreement",
    "Candidate",
    "ContentCheck",
    "Correction",
    "FastStyleOptions",
    "FineTuneOptions",
    "GatysOptions",
    "Geometry",
    "Image",
    "KeptStyle",
    "Model",
    "ModelStore",
    "Progress",
    "Reference",
    "SegmentOptions",
    "SegmentResult",
    "StyleAugment",
    "StyleBank",
    "StyleOptions",
    "Styled",
    "UnetstyleError",
    "as_image",
    "check_content",
    "compare_models",
    "domain_distance",
    "evaluate",
    "fine_tune",
    "full_resolution",
    "iter_fine_tune",
    "iter_segment",
    "iter_stylize",
    "iter_teach_new",
    "iter_train_fast",
    "iter_try_styles",
    "measure",
    "read_image",
    "reference_of",
    "refine",
    "run",
    "segment",
    "stylize",
    "teach_new",
    "try_styles",
    "write_geojson",
    "write_image",
    "write_labels",
    "write_rois",
    "write_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
