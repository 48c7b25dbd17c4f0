"""The optimisers of Keras, to its formulas.

torch's own differ from them in details that matter for small gradients or a learning rate that changes: where epsilon
is added, whether the momentum holds the learning rate, what the accumulators start from. With the same gradients and
the same learning rate, those here take the steps of Keras 3; the tests compare them.

Of what follows the learning rate alone is a setting of `fringewatch train-cnn` (for SGD also momentum and Nesterov);
the rest has Keras' defaults, in the docstrings. Keras 2 of 2019 had others where told; the choice of the study, SGD, is
the same in both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "LEARNING_RATES",
    "SGD",
    "Adagrad",
    "Adam",
    "Adamax",
    "OptimizerName",
    "RMSprop",
    "make_optimizer",
    "time_decay",
]

OptimizerName = Literal["sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamax", "nadam"]

LEARNING_RATES: dict[OptimizerName, float] = {
    "sgd": 0.001,
    "rmsprop": 0.001,
    "adagrad": 0.001,
    "adadelta": 1.0,
    "adam": 0.001,
    "adamax": 0.001,
    "nadam": 0.001,
}
"""Learning rates where none is given: the defaults of Keras 3 but for SGD, where it is the study's choice (Keras:
0.01), and Adadelta, where it is its author's and that of Keras 2 (Keras 3: 0.001, at which it hardly moves)."""

_EPSILON = 1e-7


class _Group(NamedTuple):
    """Parameters with gradients, these, and a list of each slot of state."""

    parameters: list[Tensor]
    gradients: list[Tensor]
    slots: dict[str, list[Tensor]]
    settings: dict[str, Any]
    step: int
    """1 for the first."""


class _Optimizer(torch.optim.Optimizer, ABC):
    """Collects what a step needs; a subclass names its slots and their start values, and takes the step.

    All parameters of a group go through each operation at once, which on a GPU is as fast as a fused step.
    """

    slots: ClassVar[dict[str, float]]

    def __init__(self, parameters: Iterable[Tensor], **settings: Any) -> None:
        super().__init__(list(parameters), settings)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step; `closure` computes the loss anew and is called first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in parameters:
                if not self.state[parameter]:
                    state: dict[str, Any] = {
                        name: torch.full_like(parameter, start, memory_format=torch.preserve_format)
                        for name, start in self.slots.items()
                    }
                    self.state[parameter] = state | {"step": 0}
                self.state[parameter]["step"] += 1
            if parameters:
                self._take(
                    _Group(
                        parameters,
                        [parameter.grad for parameter in parameters if parameter.grad is not None],
                        {name: [self.state[parameter][name] for parameter in parameters] for name in self.slots},
                        group,
                        # Parameters of one group have had their gradients together.
                        self.state[parameters[0]]["step"],
                    )
                )
        return loss

    @abstractmethod
    def _take(self, group: _Group) -> None:
        """Move the parameters of a group."""


class SGD(_Optimizer):
    """Gradient descent with momentum: ``v <- momentum v - lr g``, ``w <- w + v``.

    Nesterov: ``w <- w + momentum v - lr g``, with the new ``v``. The velocity holds the learning rates of its steps,
    which in torch's it does not: the two part where the rate decays. Keras: lr 0.01, momentum 0.
    """

    slots: ClassVar[dict[str, float]] = {"velocity": 0.0}

    def _take(self, group: _Group) -> None:
        rate, momentum = group.settings["lr"], group.settings["momentum"]
        velocity = group.slots["velocity"]
        torch._foreach_mul_(velocity, momentum)
        torch._foreach_add_(velocity, group.gradients, alpha=-rate)
        if group.settings["nesterov"]:
            torch._foreach_add_(group.parameters, velocity, alpha=momentum)
            torch._foreach_add_(group.parameters, group.gradients, alpha=-rate)
        else:
            torch._foreach_add_(group.parameters, velocity)


class RMSprop(_Optimizer):
    """``s <- 0.9 s + 0.1 g^2``, ``w <- w - lr g / sqrt(s + 1e-7)`` (Tieleman and Hinton 2012).

    In torch's, 0.99 of ``s`` is kept and epsilon is outside the root, as it was in Keras 2.
    """

    slots: ClassVar[dict[str, float]] = {"square": 0.0}

    def _take(self, group: _Group) -> None:
        square = group.slots["square"]
        torch._foreach_mul_(square, 0.9)
        torch._foreach_addcmul_(square, group.gradients, group.gradients, 0.1)
        below = torch._foreach_add(square, _EPSILON)
        torch._foreach_sqrt_(below)
        torch._foreach_addcdiv_(group.parameters, group.gradients, below, -group.settings["lr"])


class Adagrad(_Optimizer):
    """``s <- s + g^2`` from ``s = 0.1``, ``w <- w - lr g / sqrt(s + 1e-7)`` (Duchi et al. 2011).

    In torch's, and in Keras 2, ``s`` starts from 0 and epsilon is outside the root. Keras 2: lr 0.01.
    """

    slots: ClassVar[dict[str, float]] = {"square": 0.1}

    def _take(self, group: _Group) -> None:
        square = group.slots["square"]
        torch._foreach_addcmul_(square, group.gradients, group.gradients, 1.0)
        below = torch._foreach_add(square, _EPSILON)
        torch._foreach_sqrt_(below)
        torch._foreach_addcdiv_(group.parameters, group.gradients, below, -group.settings["lr"])


class Adam(_Optimizer):
    """``m <- 0.9 m + 0.1 g``, ``s <- 0.999 s + 0.001 g^2``, ``w <- w - a m / (sqrt(s) + 1e-7)``, at step t with
    ``a = lr sqrt(1 - 0.999^t) / (1 - 0.9^t)`` (Kingma and Ba 2015, the form before their section 2.1).

    torch's divides ``sqrt(s)`` by its correction before it adds epsilon.
    """  # noqa: D205 - the formula is longer than a line

    slots: ClassVar[dict[str, float]] = {"mean": 0.0, "square": 0.0}

    def _take(self, group: _Group) -> None:
        mean, square = group.slots["mean"], group.slots["square"]
        torch._foreach_lerp_(mean, group.gradients, 0.1)
        torch._foreach_mul_(square, 0.999)
        torch._foreach_addcmul_(square, group.gradients, group.gradients, 0.001)
        below = torch._foreach_sqrt(square)
        torch._foreach_add_(below, _EPSILON)
        rate = group.settings["lr"] * (1 - 0.999**group.step) ** 0.5 / (1 - 0.9**group.step)
        torch._foreach_addcdiv_(group.parameters, mean, below, -rate)


class Adamax(_Optimizer):
    """``m <- 0.9 m + 0.1 g``, ``u <- max(0.999 u, |g|)``, ``w <- w - lr m / ((1 - 0.9^t) (u + 1e-7))``.

    Kingma and Ba 2015, section 7.1. torch's adds epsilon to the gradient before it takes the maximum. Keras 2: lr
    0.002.
    """

    slots: ClassVar[dict[str, float]] = {"mean": 0.0, "largest": 0.0}

    def _take(self, group: _Group) -> None:
        mean, largest = group.slots["mean"], group.slots["largest"]
        torch._foreach_lerp_(mean, group.gradients, 0.1)
        torch._foreach_mul_(largest, 0.999)
        torch._foreach_maximum_(largest, torch._foreach_abs(group.gradients))
        below = torch._foreach_add(largest, _EPSILON)
        rate = group.settings["lr"] / (1 - 0.9**group.step)
        torch._foreach_addcdiv_(group.parameters, mean, below, -rate)


def make_optimizer(
    name: OptimizerName,
    parameters: Iterable[Tensor],
    *,
    learning_rate: float,
    momentum: float = 0.9,
    nesterov: bool = True,
) -> torch.optim.Optimizer:
    """Return an optimiser that takes the steps of Keras'.

    Parameters
    ----------
    name
        One of ``sgd``, ``rmsprop``, ``adagrad``, ``adadelta``, ``adam``, ``adamax``, ``nadam``. Adadelta (rho 0.95;
        Zeiler 2012) and Nadam (beta 0.9 and 0.999; Dozat 2016) are torch's, which with Keras' epsilon take the same
        steps; Nadam's momentum warms up as ``0.9 (1 - 0.5 * 0.96^t)`` (Keras 2: ``0.96^(0.004 t)``, lr 0.002).
    parameters
        Those to train.
    learning_rate
        At the first step; see :func:`time_decay`.
    momentum, nesterov
        Of SGD.
    """
    if name == "sgd":
        return SGD(parameters, lr=learning_rate, momentum=momentum, nesterov=nesterov)
    if name == "adadelta":
        return torch.optim.Adadelta(parameters, lr=learning_rate, rho=0.95, eps=_EPSILON)
    if name == "nadam":
        return torch.optim.NAdam(parameters, lr=learning_rate, eps=_EPSILON, momentum_decay=1.0)
    kind: Callable[..., torch.optim.Optimizer] = {
        "rmsprop": RMSprop,
        "adagrad": Adagrad,
        "adam": Adam,
        "adamax": Adamax,
    }[name]
    return kind(parameters, lr=learning_rate)


def time_decay(optimizer: torch.optim.Optimizer, decay: float) -> torch.optim.lr_scheduler.LambdaLR:
    """Return Keras 2's ``decay``: at step t = 0, 1, ... the learning rate is ``lr / (1 + decay * t)``.

    Keras 3 calls it ``InverseTimeDecay(lr, 1, decay)``. Call its ``step`` after each step of the optimiser.
    """
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + decay * step))
