"""The account of a teaching: what its model says of itself, what a person should see of it, what it depended on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date

import numpy as np

from napari_unetstyle import __version__
from napari_unetstyle.core.models.folder import MANIFEST
from napari_unetstyle.core.models.model import reference
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.patches import Example
from napari_unetstyle.core.training.places import Place
from napari_unetstyle.core.training.seen import seen_by
from napari_unetstyle.core.training.styling import StyledExamples
from napari_unetstyle.core.training.teaching import Teaching


def taught_spec(
    spec: ModelSpec, options: FineTuneOptions, teaching: Teaching, lessons: Sequence[Example], part: float = 1.0
) -> ModelSpec:
    """What the taught model is, before it is measured; `spec` is the parent's, or that of a new model.

    `part` is how much of the way from the parent it has gone.
    """
    state, is_new = teaching.state, not spec.files
    name = options.name or (spec.name if spec.parent else f"{spec.name[:59]}-mine")
    taught = f"taught with {len(lessons)} picture{'s' if len(lessons) > 1 else ''}, {state.step} steps."
    training = taught.capitalize() if is_new else f"{spec.card.training_data} Then {taught}"
    provenance = {
        "made_by": f"napari-unetstyle {__version__}",
        "date": date.today().isoformat(),
        "recipe": f"taught, {state.step} steps in {state.seconds:.0f} s, learning rate {teaching.rate:g}, "
        f"schedule {options.schedule}, "
        f"layers {options.learn}, replay {options.replay:g}, styles {len(options.styles)}"
        + (" with texture" if any(style.texture is not None for style in options.styles) else "")
        + (", randomized" if options.randomized else "")
        + f", seed {options.seed}"
        + (f", then {part:.0%} of the way" if part < 1 else ""),
        **({} if is_new else {"parent_seal": spec.files[MANIFEST]}),
        **{f"lesson_{i}": _digest(one) for i, one in enumerate(lessons, 1)},
    }
    card = spec.card.model_copy(update={"training_data": training, "measured": ()})
    return spec.model_copy(
        update={
            "name": name,
            "version": 1,
            "parent": None if is_new else reference(spec),
            "card": card,
            "provenance": provenance,
            "files": {},
            "seen": seen_by(spec, lessons, is_new=is_new),
            "amp_changed_ppm": None,
            "temperature": None,
        }
    )


def notes_for_a_person(styled: StyledExamples, teaching: Teaching, part: float = 1.0) -> tuple[str, ...]:
    """What a person should see of how it went."""
    state = teaching.state
    left_out = state.skipped and f"{state.skipped} of {state.step} steps were left out: their numbers were not finite."
    less = (
        f"were held back to {teaching.styled:.0%} of what they could have been" if teaching.styled else "were left out"
    )
    held_back = teaching.styled < 1 and (
        f"Other looks {less} at the end: your own pictures were read worse with more of them."
    )
    went_back = part < 1 and (
        f"It would have forgotten some of what it knew, so it went only {part:.0%} of the way from the model before."
    )
    in_one = teaching.checked == 1 and (
        "All checked places are in one picture: look at others of this kind before you rely on the new model."
    )
    return tuple(note for note in (styled.note, held_back, went_back, left_out, in_one) if note)


def key_of(origin: str, options: FineTuneOptions, examples: Sequence[Example], places: Sequence[Place]) -> str:
    """Names all that a teaching's weights depend on, except for how long it is to take and where it runs."""
    free = {"folder", "device", "name", "minutes", "remember"}
    chosen = {name: repr(value) for name, value in vars(options).items() if name not in free}
    chosen["styles"] = json.dumps([style.stated() for style in options.styles])  # a long array's repr is cut short
    content = [origin, chosen, [_digest(one) for one in examples], [repr(place) for place in places]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _digest(example: Example) -> str:
    """sha256 of what a lesson consists of, which names it without telling anything about it."""
    digest = hashlib.sha256()
    for array in (example.image, example.labels, example.valid):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
