"""Kernels of random fields and of phase noise; see ``physics._fields`` and ``physics.coherence`` for the formulas."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.compiled.elementary import cos_sin, exp2, log2, mix
from fringewatch.compiled.jit import exact_kernel, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float32]

__all__ = [
    "background",
    "complex_normals",
    "exponential_amplitude",
    "multilook_phasor",
    "power",
    "power_law_amplitude",
    "quadratic_form",
]

_F, _U = np.float32, np.uint64
_STEP = _F(2.0**-24)
_HIGH, _EIGHT, _FORTY = _U(0xFFFFFFFF), _U(8), _U(40)
# Numbers that fit into the first-level cache several times.
_BLOCK = 1024
_LOG2_E = _F(1 / math.log(2.0))
_MINUS_TWO_LN_2 = _F(-2.0 * math.log(2.0))


@kernel
def _uniforms(key: np.uint64, start: int, first: Real, second: Real, count: int) -> None:
    """Write uniform numbers in (0, 1] from the halves of random words."""
    for i in range(count):
        word = mix(key, _U(start + i))
        first[i] = _F(np.int32((word & _HIGH) >> _EIGHT) + np.int32(1)) * _STEP
        second[i] = _F(np.int32(word >> _FORTY) + np.int32(1)) * _STEP


@kernel
def complex_normals(key: np.uint64, deviation: Real, scale: np.float32, parts: Real) -> None:
    """Write real and imaginary parts, side by side, of complex normals times a deviation and a factor."""
    # In blocks, since words and floats in one loop are more than the registers hold; indices from 0 in each, since
    # others keep the loop from the processor's vectors.
    first, second = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    for start in range(0, deviation.size, _BLOCK):
        count = min(_BLOCK, deviation.size - start)
        _uniforms(key, start, first, second, count)
        deviations, written = deviation[start : start + count], parts[2 * start : 2 * (start + count)]
        for i in range(count):
            modulus = np.sqrt(_MINUS_TWO_LN_2 * log2(first[i])) * deviations[i] * scale
            cosine, sine = cos_sin(second[i])
            written[2 * i] = modulus * cosine
            written[2 * i + 1] = modulus * sine


@kernel
def multilook_phasor(key: np.uint64, coherence: Real, half_over_looks: np.float32, parts: Real) -> None:
    """Write real and imaginary parts, side by side, of multilook noise."""
    one = _F(1)
    first, second = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    for start in range(0, coherence.size, _BLOCK):
        count = min(_BLOCK, coherence.size - start)
        _uniforms(key, start, first, second, count)
        coherences, written = coherence[start : start + count], parts[2 * start : 2 * (start + count)]
        for i in range(count):
            signal = exp2(log2(first[i]) * half_over_looks)
            g = coherences[i]
            modulus = np.sqrt((one - g) * (one + g) * (one - signal) * (one + signal))
            cosine, sine = cos_sin(second[i])
            written[2 * i] = modulus * cosine + signal * g
            written[2 * i + 1] = modulus * sine


@kernel
def background(
    delay: Real,
    height: Real,
    to_phase: np.float32,
    stratified: tuple[np.float32, np.float32],
    lowest: np.float32,
    ramp: tuple[np.float32, np.float32],
    per_metre: np.float32,
    result: Real,
) -> None:
    """Write the phase of turbulent and stratified delay, of a ramp, and of what follows the terrain.

    ``stratified`` is the coefficient, and the inverse of the scale height or 0 for a linear law. The ramp is given by
    its phase from edge to edge along rows and along columns.
    """
    rows, columns = delay.shape
    coefficient, over_scale = stratified
    down, across = ramp
    for row in range(rows):
        taken, ground, put = delay[row], height[row], result[row]
        # As numpy.linspace from -0.5 to 0.5.
        base = down * (_F(row) / _F(max(rows - 1, 1)) - _F(0.5))
        step = across / _F(max(columns - 1, 1))
        for column in range(columns):
            above = ground[column] - lowest
            # 1 - exp(-above / scale), which loses digits that matter only for heights of centimetres.
            faded = (_F(1) - exp2(-above * over_scale * _LOG2_E)) / over_scale if over_scale > 0 else above
            value = (taken[column] + coefficient * faded) * to_phase
            put[column] = value + base + step * _F(column) - _F(0.5) * across + per_metre * ground[column]


@kernel
def exponential_amplitude(k_squared: Real, factor: np.float32, amplitude: Real) -> None:
    """Write ``(1 + factor k^2)^(-3/4)``."""
    for i in range(k_squared.size):
        amplitude[i] = exp2(_F(-0.75) * log2(k_squared[i] * factor + _F(1)))


@kernel
def power_law_amplitude(
    k_squared: Real,
    slope: np.float32,
    changes: tuple[np.float32, np.float32],
    edges: tuple[np.float32, np.float32],
    offset: np.float32,
    amplitude: Real,
) -> None:
    """Write ``2^(slope l + sum of changes max(l, edge) - offset)``, l being the logarithm of k^2 to base 2."""
    change, another = changes
    edge, next_edge = edges
    for i in range(k_squared.size):
        log_k = log2(max(k_squared[i], _F(1e-12)))
        total = slope * log_k + change * max(log_k, edge) + another * max(log_k, next_edge)
        amplitude[i] = exp2(total - offset)


@exact_kernel
def quadratic_form(rows: Real, columns: Real, result: Real) -> None:
    """Write ``a b + c + d`` or 0 if that is less, of ``(a, c)`` of each row and ``(b, d)`` of each column."""
    for row in range(rows.shape[1]):
        put = result[row]
        factor, term = rows[0, row], rows[1, row]
        for column in range(columns.shape[1]):
            put[column] = max(factor * columns[0, column] + term + columns[1, column], _F(0))


@kernel
def power(amplitude: Real) -> float:
    """Return the sum of squares of an array, (rows, columns)."""
    total = 0.0
    for row in range(amplitude.shape[0]):
        part = _F(0)
        for column in range(amplitude.shape[1]):
            part += amplitude[row, column] * amplitude[row, column]
        total += float(part)
    return total
