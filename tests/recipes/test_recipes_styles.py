from __future__ import annotations

import pytest
import styles

from napari_unetstyle.core import StyleBank
from napari_unetstyle.core.models.store import BUNDLED


@pytest.mark.parametrize("name", styles.KINDS)
def test_a_bundled_style_says_what_its_recipe_writes(name, tmp_path):
    style, kind = StyleBank(tmp_path).load(name), styles.KINDS[name]
    assert (style.about, style.license) == (kind.about, kind.license)


def test_the_license_of_the_microscopy_is_where_its_style_says(tmp_path):
    assert "beside the model axon-myelin" in StyleBank(tmp_path).load("sem").license
    assert 'the style "sem"' in (BUNDLED / "axon-myelin" / "LICENSE.txt").read_text("utf-8")
