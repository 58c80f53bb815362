from __future__ import annotations

import pytest
import styles

from napari_unetstyle.core import StyleBank
from napari_unetstyle.core.style.bank import BUNDLED


@pytest.mark.parametrize("name", styles.KINDS)
def test_a_bundled_style_says_what_its_recipe_writes(name, tmp_path):
    style, kind = StyleBank(tmp_path).load(name), styles.KINDS[name]
    assert (style.about, style.license) == (kind.about, kind.license)


@pytest.mark.parametrize("name", [*styles.KINDS, "any-style"])
def test_the_text_of_the_license_of_a_style_comes_along(name, tmp_path):
    text = (BUNDLED / "LICENSE.txt").read_text("utf-8")
    assert name in text
    note = "" if name == "any-style" else StyleBank(tmp_path).load(name).license
    assert ("its text comes with" in note) == note.startswith(("MIT", "Apache"))
    assert "Permission is hereby granted" in text
    assert "TERMS AND CONDITIONS FOR USE" in text
