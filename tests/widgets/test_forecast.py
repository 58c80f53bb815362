"""Memory, before a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unetstyle.core.errors import DeviceError
from napari_unetstyle.widgets import forecast, scope
from tests.widgets.fake_core import WAIT, blobs

MS = WAIT * 1000


@pytest.fixture
def dock(make_windowless_dock: Any, core: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(forecast, "free_memory", lambda: 2**32)
    core.needed = 2**31
    dock = make_windowless_dock()
    dock.viewer.add_image(np.stack([blobs(), blobs()]), name="stack", axis_labels=("z", "y", "x"))
    dock.show()
    return dock


def test_a_large_run_says_so_before_it_begins(dock: Any, core: Any, qtbot: Any) -> None:
    words = dock.segment.forecast
    qtbot.waitUntil(words.isVisible, timeout=MS)
    assert words.words.text() == "Needs about 2.0 GB of memory; 4.0 GB are free."
    core.needed = 10**8
    dock.segment.forecast.touch()
    expected = "Needs about 0.1 GB of memory; 4.0 GB are free."  # of a volume it is always said
    qtbot.waitUntil(lambda: words.words.text() == expected, timeout=MS)
    dock.segment.where.setCurrentIndex(dock.segment.where.findData(scope.SLICE))
    qtbot.waitUntil(lambda: not words.isVisible(), timeout=MS)


def test_what_cannot_fit_is_refused_in_the_panel(dock: Any, core: Any, run: Any) -> None:
    core.error = DeviceError("This run needs about 9.0 GB of memory, and 4.0 GB are free. Close other programs.")
    run(dock)
    assert dock.segment.message.text.startswith("This run needs about 9.0 GB")
