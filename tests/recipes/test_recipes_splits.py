from __future__ import annotations

from collections import Counter

import numpy as np
import splits
from hypothesis import given
from hypothesis import strategies as st
from skimage.io import imsave


@given(stems=st.sets(st.text("abcdef0123456789", min_size=4, max_size=8), min_size=12, max_size=80))
def test_shares_are_about_65_10_25_and_do_not_depend_on_the_order(stems):
    groups = {stem: stem for stem in stems}
    parts = splits.split(groups)
    assert parts == splits.split(dict(reversed(groups.items())))
    assert set(parts) == stems
    count = Counter(parts.values())
    assert abs(count["test"] - 0.25 * len(stems)) <= 1
    assert abs(count["val"] - 0.10 * len(stems)) <= 1


@given(sizes=st.lists(st.integers(1, 6), min_size=5, max_size=20))
def test_groups_are_never_split(sizes):
    groups = {f"{g}-{i}": f"group{g}" for g, size in enumerate(sizes) for i in range(size)}
    parts = splits.split(groups)
    for group in set(groups.values()):
        assert len({parts[stem] for stem, of in groups.items() if of == group}) == 1


def test_pictures_that_look_alike_are_one_group(tmp_path):
    folder = tmp_path / "nuclei" / "fluo256"
    rng = np.random.default_rng(0)
    for kind, (ground, bright) in enumerate([(5, 60), (20, 250), (60, 120), (9, 30), (40, 200)]):
        for number in range(4):
            objects = np.zeros((64, 64), np.uint16)
            for i in range(5):
                y, x = 12 * i + 1, rng.integers(2, 50)
                objects[y : y + 8 + kind, x : x + 8 + kind] = i + 1
            picture = np.where(objects > 0, bright, ground) + rng.integers(0, 3 + 4 * kind, objects.shape)
            for name, image in (("images", picture.astype(np.uint8)), ("instances", objects)):
                (folder / name).mkdir(parents=True, exist_ok=True)
                imsave(folder / name / f"{kind}{number}.png", image, check_contrast=False)
    parts = splits.nuclei(tmp_path, "fluo256")
    assert len(parts) == 20
    for kind in range(5):
        assert len({part for stem, part in parts.items() if stem.startswith(str(kind))}) == 1
