from __future__ import annotations

import copy
from dataclasses import replace

import axon_myelin
import bundle
import hippocampus
import nuclei
import numpy as np
import pytest
import torch

from napari_unetstyle.core import Reference
from napari_unetstyle.core.models.folder import read_spec
from napari_unetstyle.core.models.spec import NetworkSpec
from napari_unetstyle.core.models.store import BUNDLED, ModelStore
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.scale import typical_diameter
from napari_unetstyle.core.training.fit import Fit, fit
from napari_unetstyle.core.training.floors import norms, set_variance_floors
from napari_unetstyle.core.training.options import FitOptions
from napari_unetstyle.core.training.styling import iter_styled
from tests.core.networks_for_tests import random_unet, tiny_model
from tests.core.training_for_tests import discs


def batches():
    sources = [nuclei.sources(discs((96, 96), seed=s)) for s in range(5)]
    return nuclei.Batches([[source] for source in sources])


def test_a_batch_is_normalized_and_its_targets_fit():
    batch = batches()(np.random.default_rng(0))
    count, _, *side = batch.images.shape
    assert batch.seeds.shape == batch.images.shape
    assert batch.classes.shape == (count, *side)
    assert batch.images.abs().max() <= 10
    assert not batch.seeds[:, 0][batch.classes == 0].any()
    assert torch.equal(batch.images, batches()(np.random.default_rng(0)).images)


def test_blank_and_sparse_patches_come_with_the_stated_chance():
    source = batches()
    covered = [float((source.patch((64, 64), np.random.default_rng(i)).labels[0] > 0).mean()) for i in range(200)]
    assert 0.05 < np.mean(np.array(covered) == 0) < 0.3


def test_pictures_are_drawn_at_the_size_that_a_run_brings_them_to_and_at_their_own():
    large = nuclei.resized(discs((96, 96)), 4)
    both = nuclei.sources(large)
    assert both.own.example is large
    scaled = both.scaled.example
    areas = np.bincount(scaled.labels[1].ravel())[1:]
    assert typical_diameter(areas[areas > 0], 2) == pytest.approx(nuclei.TAUGHT_DIAMETERS[1], rel=0.05)
    assert scaled.image.shape[1:] == scaled.labels.shape[1:]
    assert scaled.image.mean() == pytest.approx(large.image.mean(), abs=0.01)
    always = [replace(batches(), own_size=share) for share in (0.0, 1.0)]
    assert len({b(np.random.default_rng(0)).images.sum().item() for b in always}) == 2


def test_the_loss_of_the_recipe_teaches_a_tiny_network():
    network = UNet(NetworkSpec(in_channels=3, widths=(4, 8)), 5)
    batch = batches()(np.random.default_rng(1))
    before = float(nuclei.loss(network, batch).detach())
    run(fit(network, lambda rng: batch, nuclei.loss, FitOptions(steps=15, learning_rate=1e-2)))
    assert float(nuclei.loss(network, batch).detach()) < before


def test_chosen_logits_are_those_of_the_whole_head():
    network, x = random_unet(channels=3, out=5), torch.randn(1, 3, 16, 16)
    thin = bundle.with_logits(network, [0, 1, 4])
    assert torch.allclose(thin(x), network(x)[:, [0, 1, 4]])
    assert network.head.out_channels == 5


def test_variance_floors_leave_training_pictures_alone_and_calm_blank_ones():
    network = random_unet(channels=3)
    images = torch.randn(8, 3, 32, 32)
    before = network(images)
    set_variance_floors(network, [images])
    assert all((layer.variance_floor > 0).all() for layer in norms(network))
    assert torch.allclose(network(images), before, atol=1e-5)
    for layer in norms(network):
        faint = 0.1 * layer.variance_floor.sqrt().view(1, -1, 1, 1) * torch.randn(1, len(layer.weight), 16, 16)
        calm = layer(faint).std()
        layer.variance_floor.zero_()
        assert calm < layer(faint).std()


def test_a_written_model_folder_is_loaded_and_found_whole(tmp_path):
    spec, thin = nuclei.draft(UNet(nuclei.NETWORK, 5))
    written = bundle.write_model(spec, thin, tmp_path / "nuclei")
    model = ModelStore(tmp_path / "store").load(tmp_path / "nuclei")
    assert model.spec == written
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(model.network(x), thin.eval()(x), atol=0.05)


def test_pictures_take_styles_where_some_are_given():
    look = Reference.of_unit(0.3 * discs((80, 90), seed=9).image)
    styled = run(iter_styled([discs((96, 96))], [look])).examples
    plain, other = (nuclei.Batches([[nuclei.sources(e)]], shares=(1,)) for e in (discs((96, 96)), *styled))
    made = [[b.patch((96, 96), np.random.default_rng(i)).image for i in range(20)] for b in (plain, other)]
    assert np.mean([i.max() for i in made[1]]) < np.mean([i.max() for i in made[0]])


@pytest.mark.parametrize(
    ("recipe", "name"), [(nuclei, "nuclei"), (axon_myelin, "axon-myelin"), (hippocampus, "hippocampus")]
)
def test_a_bundled_card_is_what_its_recipe_writes_and_says_what_is_done_unasked_and_was_measured(recipe, name):
    spec = read_spec(BUNDLED / name)
    written = recipe.card(spec.card.measured, "")
    assert written.model_copy(update={"training_data": spec.card.training_data}) == spec.card
    assert spec.card.training_data.startswith(written.training_data.strip())
    if spec.postprocessing.min_size is not None:
        assert "was measured to help" in spec.card.limits
    assert spec.postprocessing.fill_small_holes == ("Holes of up to 1/8" in spec.card.limits)


def test_the_text_of_the_license_is_there_when_the_model_is_sealed(tmp_path, monkeypatch):
    sealed = []
    for module, name in ((axon_myelin, "batches"), (axon_myelin, "memorable"), (axon_myelin.seen, "state")):
        monkeypatch.setattr(module, name, lambda *_: None)
    monkeypatch.setattr(axon_myelin.memories, "memories", lambda _: ())
    monkeypatch.setattr(axon_myelin.areas, "export", lambda *, target, **_: sealed.append(list(target.iterdir())))
    axon_myelin.export(tmp_path, tmp_path, tmp_path / "model")
    assert sealed == [[tmp_path / "model" / "LICENSE.txt"]]
    assert "LICENSE.txt" in read_spec(BUNDLED / "axon-myelin").files


def test_the_averaged_network_of_a_checkpoint(tmp_path):
    def draw(rng):
        return batches()(rng)

    network = UNet(NetworkSpec(in_channels=3, widths=(2, 4)), 5)
    state = run(fit(network, draw, nuclei.loss, FitOptions(steps=2, folder=tmp_path)))
    again = bundle.averaged(UNet(NetworkSpec(in_channels=3, widths=(2, 4)), 5), tmp_path)
    assert again.step == 2
    for ours, theirs in zip(again.average.parameters(), state.average.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(SystemExit, match="no checkpoint"):
        bundle.averaged(network, tmp_path / "nowhere")


def test_blank_pictures_are_of_five_kinds():
    pictures = bundle.blank_pictures(10, side=32)
    assert len(pictures) == 10
    assert np.ptp(pictures[0]) == 0
    assert all(np.ptp(p) > 0 for p in pictures[1:5])


def test_a_training_begins_with_a_model_and_ends_anywhere_between(tmp_path):
    model = tiny_model(tmp_path)
    whole = UNet(model.spec.network, model.spec.out_channels + 2)
    bundle.begin_with(whole, model.folder)
    x = torch.randn(1, model.spec.network.in_channels, 32, 32)
    whole.eval()
    assert torch.allclose(whole(x)[:, :-2], model.network.eval()(x), atol=1e-5)
    assert not whole(x)[:, -2:].any()
    other = UNet(model.spec.network, model.spec.out_channels + 2).eval()
    for share, expected in ((0.0, whole(x)), (1.0, other(x))):
        between = copy.deepcopy(whole)
        bundle.blend(between, other, share)
        for own, end in zip(between.parameters(), (whole, other)[int(share)].parameters(), strict=True):
            assert torch.allclose(own, end)
        assert between(x).shape == expected.shape


def test_floors_are_in_force_while_a_model_is_taught_on():
    network = UNet(NetworkSpec(in_channels=3, widths=(4, 8)), 5).train()
    batch = batches()(np.random.default_rng(1))

    def both():
        return [float(how(network.train(), batch).detach()) for how in (nuclei.loss, nuclei.loss_with_floors)]

    free, floored = both()
    assert floored == pytest.approx(free, rel=1e-4)
    for norm in norms(network):
        norm.variance_floor.fill_(1e4)  # calms everything
    again, calm = both()
    assert again == pytest.approx(free, rel=1e-4)
    assert calm != pytest.approx(free, rel=1e-4)


@pytest.mark.parametrize("start", [None, "nuclei", "axon-myelin"])
def test_a_card_says_how_long_a_training_was_with_that_of_the_model_it_began_with(start):
    state = Fit.of(UNet(NetworkSpec(in_channels=1, widths=(4, 8)), 2), FitOptions(steps=1))
    state.step, state.seconds = 30, 120.0
    said, provenance = bundle.history(state, None if start is None else BUNDLED / start, "1 Mpx")
    assert said.endswith("30 steps of 1 Mpx in 2 minutes on one or two CPU cores.")
    before = 0 if start is None else int(read_spec(BUNDLED / start).provenance["steps"])
    assert provenance["steps"] == str(before + 30)
    assert ("minutes" in provenance) == (start != "axon-myelin")  # whose minutes are in its card only
