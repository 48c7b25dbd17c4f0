"""Checkpoints of trainings: written whole or not at all, and a damaged one is told of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.plugins.io import TorchCheckpointIO

from fringewatch.errors import TrainingError
from fringewatch.files import ensure_folder
from fringewatch.networks.weights import save_state

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AtomicCheckpoints"]


class AtomicCheckpoints(TorchCheckpointIO):
    """Write beside the old checkpoint and then take its place.

    Lightning's own goes through the system's temporary folder: on another disk it is copied onto the old one, and of a
    disk that is full neither is left.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ARG002
        """Write a checkpoint.

        Raises
        ------
        OutputError
            If it cannot be written; the one before stays.
        """
        ensure_folder(Path(path).parent)
        save_state(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint.

        Raises
        ------
        TrainingError
            If it is damaged.
        """
        try:
            return super().load_checkpoint(path, map_location, weights_only)
        # A damaged file makes torch raise whatever its reader trips over.
        except Exception as error:
            message = (
                f"{path}: is no checkpoint or is damaged ({' '.join(str(error).split())[:120]}); begin anew with "
                "--overwrite, or with another --out"
            )
            raise TrainingError(message) from error
