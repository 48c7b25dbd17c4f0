"""What sources of labels are asked, and what they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.products import Reference

__all__ = ["Mark", "Marks", "Scene", "Source"]


class Scene(NamedTuple):
    """A scene that labels are laid over."""

    name: str
    path: str
    shape: tuple[int, int]
    y: NDArray[np.float64]
    """(H,) centres of the rows in the CRS."""
    x: NDArray[np.float64]
    """(W,) centres of the columns."""
    crs_wkt: str
    """Empty where the scene has no coordinates."""
    reference_date: str
    """ISO date, or empty."""
    secondary_date: str

    @classmethod
    def of(cls, reference: Reference, interferogram: xr.Dataset) -> Scene:
        """Return what an open interferogram says of itself."""
        # rioxarray keeps the CRS as the CF conventions say; a file without one has no such coordinate.
        grid = interferogram.coords.get("spatial_ref")
        height, width = interferogram["phase"].shape
        return cls(
            name=reference.name,
            path=reference.address,
            shape=(height, width),
            y=interferogram["y"].values,
            x=interferogram["x"].values,
            crs_wkt="" if grid is None else str(grid.attrs.get("crs_wkt", "")),
            reference_date=interferogram.attrs["reference_date"],
            secondary_date=interferogram.attrs["secondary_date"],
        )


class Mark(NamedTuple):
    """A labelled area of a scene."""

    where: NDArray[np.bool_]
    """(H, W)."""
    word: str
    """The label."""


class Marks(NamedTuple):
    """What a source says of a scene it knows; without marks, that nothing deforms there."""

    marks: list[Mark]
    site: str = ""


class Source(Protocol):
    """A file or folder of labels."""

    @property
    def words(self) -> frozenset[str]:
        """Every label in it."""
        ...

    def key_of(self, name: str, path: str) -> str | None:
        """Return what a scene of this name and path is called in it; None where its labels go by no name."""
        ...

    def lay_over(self, scene: Scene) -> Marks | None:
        """Return what it says of a scene, or None where it says nothing.

        Raises
        ------
        ProductError
            If it cannot be laid over this scene.
        """
        ...

    def unused(self) -> list[str]:
        """Return, in words, the labels that fitted no scene so far."""
        ...
