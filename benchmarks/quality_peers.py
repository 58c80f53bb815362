"""What the nuclei model is measured against: classical segmentation and two peers trained on the same split.

Both peers learn three classes (background, inside, boundary), the usual way to separate touching nuclei with
a plain segmentation network, and each is trained as its own project does it. Times are those of a clock that is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import filters, measure, morphology, segmentation
from torch import Tensor, nn

Pixels = NDArray[Any]
Objects = NDArray[np.int32]
Pair = tuple[Pixels, Objects]
Judged = tuple[Pixels, NDArray[np.uint8]]
PATCH, BATCH = 192, 8
CHECKPOINT_SECONDS = 300
IGNORED = 3  # the class after the last one, as nnU-Net has it


def otsu_watershed(picture: Pixels) -> Objects:
    """Gaussian smoothing, Otsu's threshold, polarity by area, distance transform, h-maxima, watershed."""
    from scipy import ndimage

    smooth = filters.gaussian(luminance(picture), 1.0)
    if np.ptp(smooth) == 0:
        return np.zeros(smooth.shape, np.int32)
    bright = smooth > filters.threshold_otsu(smooth)
    mask = bright if bright.mean() <= 0.5 else ~bright  # nuclei are the smaller part
    mask = morphology.remove_small_objects(ndimage.binary_fill_holes(mask), max_size=20)
    distance = filters.gaussian(ndimage.distance_transform_edt(mask), 1.0)
    peaks = morphology.h_maxima(distance, 0.75)
    return segmentation.watershed(-distance, measure.label(peaks), mask=mask).astype(np.int32)


def luminance(picture: Pixels) -> NDArray[np.float64]:
    """Gray values ``(Y, X)`` of a gray or RGB picture."""
    return picture @ [0.299, 0.587, 0.114] if picture.ndim == 3 else picture.astype(float)


def normalized(picture: Pixels) -> NDArray[np.float32]:
    """``(3, Y, X)``, each channel to zero mean and unit deviation, as nnU-Net does; gray is repeated."""
    color = np.moveaxis(picture, -1, 0) if picture.ndim == 3 else np.repeat(picture[np.newaxis], 3, 0)
    color = color[:3].astype(np.float32)
    axes = (1, 2)
    return (color - color.mean(axes, keepdims=True)) / np.maximum(color.std(axes, keepdims=True), 1e-8)


def three_classes(objects: Objects) -> NDArray[np.uint8]:
    """0 background, 1 inside, 2 the inner rim of each object, two pixels wide."""
    rim = segmentation.find_boundaries(objects, connectivity=2, mode="inner")
    wide = morphology.dilation(rim) & (objects > 0)
    return np.where(objects == 0, 0, np.where(wide, 2, 1)).astype(np.uint8)


def separated(classes: NDArray[Any]) -> Objects:
    """Objects of a three-class answer: inside components grown into the rim."""
    inside = measure.label(classes == 1, connectivity=1)
    return segmentation.expand_labels(inside, 4).astype(np.int32) * (classes > 0)


@dataclass(frozen=True)
class Peer:
    """A network, how it is trained and how it predicts.

    Attributes
    ----------
    name
        Of its file in the work folder.
    network
        Makes a new one, 3 channels to 3 classes.
    optimizer
        Makes its optimizer.
    decay
        Factor on the learning rate when a share (0..1) of the time is over.
    augment
        Makes the function from a batch of pictures and classes (numpy, one sample) to an augmented one.
    loss
        Makes the loss of logits and classes ``(N, 1, Y, X)``.
    overlap
        Of neighboring windows when it predicts.
    margin
        How much larger than the patch a sample is cut before augmentation.
    """

    name: str
    network: Callable[[], nn.Module]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]
    decay: Callable[[float], float]
    augment: Callable[[], Callable[[NDArray[np.float32], NDArray[np.uint8]], tuple[Tensor, Tensor]]]
    loss: Callable[[], Callable[[Tensor, Tensor], Tensor]]
    overlap: float
    margin: float = 1.0

    def trained(
        self,
        domains: Sequence[Sequence[Pair]],
        minutes: float,
        work: Path,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        amp: bool = False,
    ) -> nn.Module:
        """The network after `minutes` of training (in bfloat16 if `amp`); kept in `work`, so it is trained once."""
        from safetensors.torch import load_model, save_model

        path = work / f"{self.name}-{minutes:g}-minutes-seed-{seed}.safetensors"
        torch.manual_seed(seed)
        network = self.network()
        if path.exists():
            load_model(network, str(path))
            return network.eval()
        judged = [[(p, three_classes(t)) for p, t in known] for known in domains]
        work.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".pt")
        self._train(network, judged, minutes, seed, clock, unfinished, amp)
        partial = path.with_suffix(".partial")
        save_model(network, str(partial))
        partial.replace(path)
        unfinished.unlink(missing_ok=True)
        return network.eval()

    def tuned(
        self, parent: nn.Module, lesson: Sequence[Judged], minutes: float, seed: int, clock: Callable[[], float]
    ) -> nn.Module:
        """A network that begins with another's weights, but for its last layer (nnU-Net's ``-pretrained_weights``).

        `lesson` are pictures with the three classes and ``IGNORED``.
        """
        torch.manual_seed(seed)
        network = self.network()
        known = {k: v for k, v in parent.state_dict().items() if ".seg_layers." not in k}
        network.load_state_dict(network.state_dict() | known)
        self._train(network, [lesson], minutes, seed, clock)
        return network.eval()

    def _train(
        self,
        network: nn.Module,
        domains: Sequence[Sequence[Judged]],
        minutes: float,
        seed: int,
        clock: Callable[[], float],
        unfinished: Path | None = None,
        amp: bool = False,
    ) -> None:
        """Train to the end, from where a training that was interrupted had come to."""
        optimizer, loss, augment = self.optimizer(network), self.loss(), self.augment()
        rate = optimizer.param_groups[0]["lr"]
        steps, spent, saved = 0, 0.0, 0.0
        if unfinished is not None and unfinished.exists():
            state = torch.load(unfinished, weights_only=True)
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
            steps, spent = state["steps"], state["seconds"]
            saved = spent
        batches = self._batches(domains, augment, np.random.default_rng((seed, steps)))
        start = clock() - spent
        network.train()
        while (done := (spent := clock() - start) / (60 * minutes)) < 1:
            if unfinished is not None and spent - saved > CHECKPOINT_SECONDS:
                state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
                torch.save(state | {"steps": steps, "seconds": spent}, unfinished.with_suffix(".part"))
                unfinished.with_suffix(".part").replace(unfinished)
                saved = spent
            optimizer.param_groups[0]["lr"] = rate * self.decay(done)
            images, classes = next(batches)
            with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                logits = network(images)
            value = loss(logits.float(), classes)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 12.0)
            optimizer.step()
            steps += 1
        print(f"{self.name}: {steps} steps of {BATCH} x {PATCH} x {PATCH}, loss {value.item():.3f}", flush=True)

    def _batches(
        self,
        domains: Sequence[Sequence[Judged]],
        augment: Callable[..., tuple[Tensor, Tensor]],
        rng: np.random.Generator,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        ready = [[(normalized(p), classes) for p, classes in known] for known in domains]
        side = round(PATCH * self.margin)
        while True:
            samples = []
            for index in range(BATCH):
                known = ready[rng.integers(len(ready))]
                samples.append(augment(*crop(*known[rng.integers(len(known))], side, rng, focus=index % 3 == 0)))
            yield torch.stack([image for image, _ in samples]), torch.stack([classes for _, classes in samples])

    def objects(self, network: nn.Module, picture: Pixels) -> Objects:
        """Objects of a whole picture, by Gaussian-weighted sliding windows."""
        from monai.inferers import sliding_window_inference

        x = torch.from_numpy(normalized(picture))[None]
        with torch.inference_mode():
            logits = sliding_window_inference(x, (256, 256), 4, network, overlap=self.overlap, mode="gaussian")
        return separated(logits[0].argmax(0).numpy())


def crop(
    image: NDArray[np.float32], classes: NDArray[np.uint8], side: int, rng: np.random.Generator, focus: bool
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A square of both, padded by mirroring if need be; around an object pixel if `focus` (nnU-Net's third).

    Where pixels are ignored, it is around one that is not, as nnU-Net does it.
    """
    short = [max(0, side - n) for n in classes.shape]
    pads = [(s // 2, s - s // 2) for s in short]
    image, classes = np.pad(image, [(0, 0), *pads], mode="symmetric"), np.pad(classes, pads, mode="symmetric")
    room = np.array(classes.shape) - side
    corner = rng.integers(0, room + 1)
    inside = np.zeros((0, 2), int)
    if focus or (classes == IGNORED).any():
        inside = np.argwhere((classes > 0) & (classes < IGNORED)) if focus else np.argwhere(classes < IGNORED)
    if len(inside):
        corner = np.clip(inside[rng.integers(len(inside))] - side // 2, 0, room)
    y, x = corner
    return image[:, y : y + side, x : x + side].copy(), classes[y : y + side, x : x + side].copy()


def _monai_network() -> nn.Module:
    from monai.networks.nets import BasicUNet

    return BasicUNet(spatial_dims=2, in_channels=3, out_channels=3)


def _monai_augment() -> Callable[..., tuple[Tensor, Tensor]]:
    """The transforms of MONAI's own 2D segmentation tutorials, with its intensity transforms."""
    from monai import transforms as t

    keys = ["image", "label"]
    chain = t.Compose(
        [
            t.RandFlipd(keys, prob=0.5, spatial_axis=0),
            t.RandRotate90d(keys, prob=0.5),
            t.RandZoomd(keys, prob=0.3, min_zoom=0.7, max_zoom=1.4, mode=["bilinear", "nearest"]),
            t.RandGaussianNoised("image", prob=0.2, std=0.2),
            t.RandGaussianSmoothd("image", prob=0.2),
            t.RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.5)),
            t.RandScaleIntensityd("image", prob=0.3, factors=0.25),
        ]
    )

    def augment(image: NDArray[np.float32], classes: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        sample: Any = chain({"image": torch.from_numpy(image), "label": torch.from_numpy(classes)[None]})
        return sample["image"].as_tensor().float(), sample["label"].as_tensor().long()

    return augment


def _monai_loss() -> Callable[[Tensor, Tensor], Tensor]:
    from monai.losses import DiceCELoss

    return DiceCELoss(to_onehot_y=True, softmax=True)


def _nnunet_network() -> nn.Module:
    """As nnU-Net plans 2D pictures of 256 pixels: six stages, at most 512 features, leaky ReLU, instance norm."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    return PlainConvUNet(
        input_channels=3,
        n_stages=6,
        features_per_stage=(32, 64, 128, 256, 512, 512),
        conv_op=nn.Conv2d,
        kernel_sizes=3,
        strides=(1, 2, 2, 2, 2, 2),
        n_conv_per_stage=2,
        num_classes=3,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )


def _nnunet_augment() -> Callable[..., tuple[Tensor, Tensor]]:
    """nnU-Net's own transforms (batchgeneratorsv2) for 2D."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    chain = nnUNetTrainer.get_training_transforms(
        patch_size=(PATCH, PATCH),
        rotation_for_DA=(-np.pi, np.pi),
        deep_supervision_scales=None,
        mirror_axes=(0, 1),
        do_dummy_2d_data_aug=False,
        use_mask_for_norm=[False] * 3,
    )

    def augment(image: NDArray[np.float32], classes: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        segmentation = torch.from_numpy(classes.astype(np.int16))[None]
        sample = chain(image=torch.from_numpy(image), segmentation=segmentation)
        return sample["image"].float(), sample["segmentation"].long()

    return augment


def _nnunet_loss() -> Callable[[Tensor, Tensor], Tensor]:
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

    return DC_and_CE_loss(
        {"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False},
        {},
        ignore_label=IGNORED,
        dice_class=MemoryEfficientSoftDiceLoss,
    )


PEERS = (
    Peer(
        name="monai-basicunet",
        network=_monai_network,
        optimizer=lambda network: torch.optim.Adam(network.parameters(), 1e-3),
        decay=lambda done: 1.0,
        augment=_monai_augment,
        loss=_monai_loss,
        overlap=0.25,
    ),
    Peer(
        name="nnunet-plainconvunet",
        network=_nnunet_network,
        optimizer=lambda network: torch.optim.SGD(
            network.parameters(), 1e-2, momentum=0.99, nesterov=True, weight_decay=3e-5
        ),
        decay=lambda done: (1 - done) ** 0.9,
        augment=_nnunet_augment,
        loss=_nnunet_loss,
        overlap=0.5,
        margin=1.3,  # cut to the patch after rotation, as nnU-Net does
    ),
)
