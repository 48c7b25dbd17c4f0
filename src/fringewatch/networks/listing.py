"""The `networks` command: the study's networks with their parameters, or the layers of one."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING, NamedTuple

import torch
from pydantic import Field
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from fringewatch.config import Config
from fringewatch.networks.fringenet import FringeNet
from fringewatch.networks.graph import INPUT
from fringewatch.networks.registry import STUDY, Counts, NetworkConfig, build, count_parameters

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fringewatch.networks.graph import LayerGraph
    from fringewatch.networks.registry import StudyRow

__all__ = ["CountedLayer", "CountedRow", "NetworksConfig", "NetworksListing", "count_layers", "count_study", "run"]


class NetworksConfig(Config):
    """List the networks with their parameter counts, or the layers of one."""

    network: str = Field(
        "",
        description="Network whose layers are listed, numbered as `freeze` counts them.",
        json_schema_extra={"positional": True},
    )
    input_size_px: int | None = Field(
        None, ge=32, description="Side of the patches that the sizes of layers are given for; if not given the study's."
    )


class CountedRow(NamedTuple):
    """A row of the study's table, and the parameters of the network as it is built here."""

    row: StudyRow
    parameters: Counts

    @property
    def equal(self) -> bool:
        """Whether all three counts are the study's."""
        return self.parameters == self.row.parameters


class CountedLayer(NamedTuple):
    """A layer of a backbone; `freeze` set to its number or its name freezes up to and with it."""

    number: int
    name: str
    channels: int
    height: int
    width: int
    parameters: Counts


class NetworksListing(NamedTuple):
    """What the command found: the rows of the study's table, or the layers of one backbone."""

    rows: tuple[CountedRow, ...] = ()
    layers: tuple[CountedLayer, ...] = ()
    title: str = ""

    @property
    def exit_code(self) -> int:
        """0; 1 where a count is not the study's."""
        return 0 if all(row.equal for row in self.rows) else 1

    def describe(self, *, width: int | None = None) -> str:
        """Return the table as text, as wide as the terminal or `width`, and at least 80 columns."""
        columns = shutil.get_terminal_size().columns if width is None else width
        text = io.StringIO()
        shown = _layer_table(self.title, self.layers) if self.layers else _study_table(self.rows)
        Console(file=text, width=max(80, columns), highlight=False).print(shown)
        return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def run(config: NetworksConfig) -> NetworksListing:
    """List the nine rows of the study's table, or the layers of one network's backbone.

    Raises
    ------
    ConfigError
        If there is no such network, or the input is too small for it.
    """
    if not config.network:
        return NetworksListing(count_study())
    values = {"name": config.network, "input_size_px": config.input_size_px}
    with torch.device("meta"):
        network = build(NetworkConfig.build(values, where="networks"))
    size = network.input_size_px
    return NetworksListing((), count_layers(network.backbone, size, size), network.backbone.title)


def count_study() -> tuple[CountedRow, ...]:
    """Build every row of the study's table, without memory for its weights, and count its parameters."""
    with torch.device("meta"):
        return tuple(CountedRow(row, count_parameters(build(row.network))) for row in STUDY)


def count_layers(backbone: LayerGraph, height_px: int, width_px: int) -> tuple[CountedLayer, ...]:
    """Return the layers of a backbone on torch's meta device, in Keras' order, with the sizes of their outputs."""
    outputs = {INPUT: (3, height_px, width_px)}

    def keep(name: str) -> None:
        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            _, channels, height, width = output.shape
            outputs[name] = (channels, height, width)

        backbone.get_submodule(name).register_forward_hook(hook)

    for name, _ in backbone.named_children():
        keep(name)
    backbone(torch.empty(2, 3, height_px, width_px, device="meta"))
    layers = []
    for number, name in enumerate(backbone.layer_names(), 1):
        parameters = Counts(0, 0, 0) if name == INPUT else count_parameters(backbone.get_submodule(name))
        layers.append(CountedLayer(number, name, *outputs[name], parameters))
    return tuple(layers)


def _study_table(rows: tuple[CountedRow, ...]) -> Group:
    table = _table(("network",), ("total", "trainable", "not trained", "study"))
    for row in rows:
        counts = (f"{count:,}" for count in row.parameters)
        table.add_row(row.row.title, *counts, "equal" if row.equal else "DIFFERS")
    with torch.device("meta"):
        ours = count_parameters(FringeNet())
    table.add_section()
    table.add_row("fringenet, our own", *(f"{count:,}" for count in ours), "")
    frozen = [f"{row.row.title}: up to {row.row.last_frozen}" for row in rows if row.row.last_frozen is not None]
    notes = [
        "not trained: frozen weights, and running means and variances of batch norms",
        "Frozen in the pretrained rows, as in the study:",
        *(f"  {line}" for line in frozen),
        "Layers of one: fringewatch networks " + "|".join(dict.fromkeys(row.row.network.name for row in rows)),
    ]
    return Group(table, *(Text(note) for note in notes))


def _layer_table(title: str, layers: tuple[CountedLayer, ...]) -> Group:
    table = _table(("layers", "up to and with"), ("output", "parameters", "up to here"))
    total = 0
    for layer in layers:
        total += layer.parameters.total
        output = f"{layer.channels} x {layer.height} x {layer.width}"
        table.add_row(str(layer.number), layer.name, output, f"{layer.parameters.total:,}", f"{total:,}")
    return Group(Text(f"{title}: {total:,} parameters without its top", style="bold"), table)


def _table(left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in left:
        table.add_column(heading, no_wrap=True)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
