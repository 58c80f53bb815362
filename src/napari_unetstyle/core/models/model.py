"""A model on disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unetstyle.core.files import sha256_of
from napari_unetstyle.core.models import folder as model_folder
from napari_unetstyle.core.models.folder import LICENSE, MANIFEST
from napari_unetstyle.core.models.memory import Memory, read_memory
from napari_unetstyle.core.models.own import read_own
from napari_unetstyle.core.models.spec import Card, ModelSpec

if TYPE_CHECKING:
    from napari_unetstyle.core.networks.unet import UNet


@dataclass(frozen=True)
class Model:
    """A model on disk, whose network is loaded when it is first asked for.

    Attributes
    ----------
    spec
        What it is.
    folder
        Where it lies.
    """

    spec: ModelSpec
    folder: Path

    @property
    def card(self) -> Card:
        """What a person must know before trusting it."""
        return self.spec.card

    @cached_property
    def network(self) -> UNet:
        """The network with its weights, in ``eval`` mode on the CPU; every file is verified first.

        Raises
        ------
        ModelFileError
            If a file is missing, edited or does not fit the specification.
        """
        network = model_folder.load_network(self.spec, self.folder)
        self.__dict__["sha256"] = sha256_of(self.folder / MANIFEST)  # the folder may be deleted while it is in use
        return network

    def verify(self) -> None:
        """Whether every file is as it was saved; of a loaded network that is known.

        Raises
        ------
        ModelFileError
            If one is missing or edited.
        """
        if "network" not in self.__dict__:
            model_folder.verify(self.spec, self.folder, self.folder)

    @classmethod
    def in_memory(cls, spec: ModelSpec, network: UNet) -> Model:
        """A model that lies in no folder."""
        model = cls(spec, Path())
        model.__dict__.update(network=network, sha256="")  # where cached_property keeps them
        return model

    @cached_property
    def sha256(self) -> str:
        """Names the exact contents: of ``model.json``, which holds the hashes of all other files; empty in memory."""
        return sha256_of(self.folder / MANIFEST)

    @property
    def license_text(self) -> str:
        """What the file ``LICENSE.txt`` in its folder says; empty where there is none."""
        path = self.folder / LICENSE
        return path.read_text("utf-8") if LICENSE in self.spec.files and path.is_file() else ""

    @property
    def memory(self) -> tuple[Memory, ...]:
        """The pictures it carries, for teaching; after them the crops of a person's own, which never travel."""
        return (*read_memory(self.spec, self.folder), *read_own(self.spec, self.folder))


def reference(spec: ModelSpec) -> str:
    """What names exactly this version, ``nuclei@2``; also the name of its folder."""
    return f"{spec.name}@{spec.version}"
