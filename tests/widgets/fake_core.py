"""A core whose network is the picture's own brightness, and which a test can hold at a step."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.models.spec import Card, ClassSpec, InputSpec, ModelSpec, NetworkSpec
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.segmentation.deciding import iter_decide
from napari_unetstyle.core.segmentation.measure import iter_measure
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.result import SegmentResult
from napari_unetstyle.core.segmentation.segment import scope
from napari_unetstyle.core.style.distance import Distance
from napari_unetstyle.widgets.core_calls import CoreCalls

WAIT = 20  # seconds until a test gives up


def spec(name: str = "nuclei", separation: str | None = "depth") -> ModelSpec:
    return ModelSpec(
        name=name,
        network=NetworkSpec(in_channels=1, widths=(4, 6)),
        input=InputSpec(channels="gray", object_diameter=12, object_diameters=(6, 40)),
        classes=(ClassSpec(value=1, name="nucleus", color="#e41a1c"),),
        separation=separation,
        card=Card(purpose="bright blobs", summary="A test.", training_data="none", license="MIT"),
        files={"memory-learn-01.tif": "0" * 64} if separation else {},
    )


class FakeStore:
    """Models that are only names."""

    def __init__(self, specs: list[ModelSpec] | None = None) -> None:
        self.specs = specs if specs is not None else [spec(), spec("areas-only", None)]
        self.root = "models"

    def list(self) -> list[ModelSpec]:
        return self.specs

    def problems(self) -> dict[Any, str]:
        return {}

    def is_bundled(self, _: str) -> bool:
        return True

    def spec(self, reference: str) -> ModelSpec:
        return next(s for s in self.specs if s.name == reference.partition("@")[0])


class FakeCore:
    """Counts runs; `hold` makes them wait before each step until `release`."""

    def __init__(self, steps: int = 4) -> None:
        self.steps, self.runs, self.closed, self.loads = steps, 0, 0, 0
        self.options: list[SegmentOptions] = []
        self.measured: list[set[int] | None] = []
        self.previews: list[SegmentOptions] = []
        self.error: Exception | None = None
        self.needed = 0
        self.distance: Distance | None = None
        self.temperature: float | None = None
        self.docks: list[object] = []
        self._gate = threading.Event()
        self._gate.set()
        self.started = threading.Event()

    @property
    def calls(self) -> CoreCalls:
        return CoreCalls(
            iter_segment=self.iter_segment,
            iter_preview=self.iter_preview,
            iter_measure=self.iter_measure,
            iter_predict=self.iter_predict,
            iter_load=self.iter_load,
            store=self.store,
        )

    def store(self, _root: Any) -> FakeStore:
        return FakeStore()

    def iter_preview(
        self, image: Image, _model: str, options: SegmentOptions, _store: Any, _kept: Any, index: Any, box: Any
    ) -> Steps[NDArray[Any]]:
        self.previews.append(options.changed(box=box))
        result = yield from iter_decide(undecided(image, options.changed(box=None)))
        return result.labels[(*index, *(slice(*sides) for sides in box))]

    def iter_measure(self, *arguments: Any, only: set[int] | None = None, **options: Any) -> Steps[Any]:
        self.measured.append(only)
        return (yield from iter_measure(*arguments, only=only, **options))

    def iter_predict(self, *_: Any) -> Steps[int]:
        yield Progress(0, 1)
        return self.needed

    def iter_load(self) -> Steps[None]:
        self.loads += 1
        yield Progress(0, 1)

    def hold(self) -> None:
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    def iter_segment(self, image: Image, model: Any, options: SegmentOptions, _store: Any) -> Steps[SegmentResult]:
        self.runs += 1
        self.options.append(options)
        try:
            for i in range(self.steps):
                self.started.set()
                assert self._gate.wait(WAIT)
                if self.error is not None and i == 1:
                    raise self.error
                yield Progress(i, self.steps, "strip")
            result = yield from iter_decide(undecided(image, options).changed(temperature=self.temperature))
            result.provenance["model"] = {
                "name": model.partition("@")[0] if isinstance(model, str) else model.spec.name
            }
            return result if options.restyle else result.changed(distance=self.distance)
        finally:
            self.closed += 1


def undecided(image: Image, options: SegmentOptions) -> SegmentResult:
    """Brightness (of the chosen channel) as probability."""
    options = options.changed(threshold=options.threshold or 0.5, output=options.output or "objects", channel=None)
    separates = options.output == "objects"
    foreground = brightness(image)
    inside = np.zeros(foreground.shape, bool)
    frames = options.frames or tuple(image.frames(2))
    for index in frames:
        inside[(*index, *scope(options, foreground.shape[-2:]))] = True
    foreground = np.where(inside, foreground, 0)
    channels = [255 - foreground, foreground, *([foreground] if separates else [])]
    return SegmentResult(
        labels=np.zeros(0, np.uint8),
        label_axes=image.label_axes,
        geometry=image.geometry,
        classes=spec().classes,
        output=options.output,
        objects={},
        probability_bytes=np.stack(channels).astype(np.uint8),
        seed_rise=0.75,
        zoom=1.0,
        frames=frames,
        options=options,
        notes=image.notes,
        provenance={"model": {"name": "nuclei"}, "device": "cpu", "seconds": 1.5, "options": options.stated()},
    )


def brightness(image: Image) -> NDArray[np.uint8]:
    array = np.asarray(image.array)
    if "C" in image.axes:
        array = array.mean(axis=image.axes.index("C"))
    axes = image.axes.replace("C", "")
    return np.clip(array.transpose([axes.index(a) for a in image.label_axes]), 0, 255).astype(np.uint8)


def blobs(shape: tuple[int, int] = (64, 96), count: int = 5, peak: int = 200) -> NDArray[np.uint8]:
    """A dark picture with `count` bright squares of 8 x 8 pixels in a row; each a little dimmer than the last."""
    picture = np.full(shape, 10, np.uint8)
    for i in range(count):
        picture[20:28, 6 + 16 * i : 14 + 16 * i] = peak - 10 * i
    return picture


def half_sure() -> NDArray[np.uint8]:
    """Blobs, and a square that is neither background nor foreground."""
    picture = blobs((64, 96))
    picture[40:50, 70:80] = 128
    return picture


def with_options(calls: CoreCalls, **changes: Callable[..., Any]) -> CoreCalls:
    return dataclasses.replace(calls, **changes)
