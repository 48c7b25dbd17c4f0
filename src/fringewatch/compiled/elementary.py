"""Elementary functions that compile to a processor's vectors, unlike those of the C library.

Polynomials fitted at Chebyshev nodes; errors are those of float32, and of float64 for :func:`arctangent`.
"""

from __future__ import annotations

import math

import numpy as np

from fringewatch.compiled.jit import exact_kernel, kernel

__all__ = ["angle", "arctangent", "cos_sin", "exp2", "log2", "logarithm", "mix"]

_F, _I, _U = np.float32, np.int32, np.uint64
_SHIFT, _ROOT_HALF, _BIAS = _I(23), _I(0x3F3504F3), _I(127)
_ROOT_HALF_64, _SHIFT_64, _LN_2 = np.int64(0x3FE6A09E667F3BCD), np.int64(52), math.log(2.0)
_PI, _HALF_PI = _F(np.pi), _F(np.pi / 2)
_GOLDEN, _MIX_1, _MIX_2 = _U(0x9E3779B97F4A7C15), _U(0xBF58476D1CE4E5B9), _U(0x94D049BB133111EB)
_S27, _S30, _S31 = _U(27), _U(30), _U(31)


@kernel
def mix(key: np.uint64, index: np.uint64) -> np.uint64:
    """Return a number of SplitMix64: 64 random bits by the key of a stream and the position in it."""
    z = key + (index + _U(1)) * _GOLDEN
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@kernel
def log2(x: np.float32) -> np.float32:
    """Return the logarithm to base 2 of a positive, normal number."""
    bits = _F(x).view(np.int32)
    exponent = (bits - _ROOT_HALF) >> _SHIFT
    m = _I(bits - (exponent << _SHIFT)).view(np.float32) - _F(1)
    p = _F(-0.14620353281497955)
    p = p * m + _F(0.2342098504304886)
    p = p * m + _F(-0.24882180988788605)
    p = p * m + _F(0.28707560896873474)
    p = p * m + _F(-0.36024197936058044)
    p = p * m + _F(0.4809240400791168)
    p = p * m + _F(-0.721352756023407)
    p = p * m + _F(1.442694902420044)
    return _F(exponent) + p * m


@kernel
def exp2(x: np.float32) -> np.float32:
    """Return 2 to the power of a number below 127; 0 or next to it below -126."""
    x = max(x, _F(-126))
    whole = np.floor(x + _F(0.5))
    f = x - whole
    p = _F(0.00015469732170458883)
    p = p * f + _F(0.0013400432653725147)
    p = p * f + _F(0.00961802527308464)
    p = p * f + _F(0.05550327152013779)
    p = p * f + _F(0.24022650718688965)
    p = p * f + _F(0.6931471824645996)
    p = p * f + _F(1.0)
    return _F(p * _I((_I(whole) + _BIAS) << _SHIFT).view(np.float32))


@kernel
def cos_sin(turns: np.float32) -> tuple[np.float32, np.float32]:
    """Return cosine and sine of an angle in full turns, up to a few thousand of them."""
    quarter = np.floor(turns * _F(4) + _F(0.5))
    r = turns - quarter * _F(0.25)
    z = r * r
    s = _F(-76.69786834716797) + z * _F(41.47289276123047)
    s = s * z + _F(81.6052017211914)
    s = s * z + _F(-41.34170150756836)
    s = (s * z + _F(6.2831854820251465)) * r
    c = _F(-85.4428482055664) + z * _F(59.22028732299805)
    c = c * z + _F(64.93931579589844)
    c = c * z + _F(-19.739208221435547)
    c = c * z + _F(1.0)
    q = _I(quarter)
    swap = (q & _I(1)) != 0
    cosine, sine = (s, c) if swap else (c, s)
    cosine = -cosine if ((q + _I(1)) & _I(2)) != 0 else cosine
    sine = -sine if (q & _I(2)) != 0 else sine
    return cosine, sine


@kernel
def angle(y: np.float32, x: np.float32) -> np.float32:
    """Return the angle of a vector in [-pi, pi], and 0 for none."""
    across, along = abs(y), abs(x)
    large, small = max(across, along), min(across, along)
    t = small / max(large, _F(1e-37))
    z = t * t
    p = _F(0.0028340641874819994)
    p = p * z + _F(-0.016005029901862144)
    p = p * z + _F(0.042587608098983765)
    p = p * z + _F(-0.07495445758104324)
    p = p * z + _F(0.10636754333972931)
    p = p * z + _F(-0.14202570915222168)
    p = p * z + _F(0.19992484152317047)
    p = p * z + _F(-0.3333306610584259)
    p = p * z + _F(1.0)
    a = p * t
    a = _HALF_PI - a if across > along else a
    a = _PI - a if x < _F(0) else a
    return -a if y < _F(0) else a


@exact_kernel
def arctangent(x: float) -> float:
    """Return the arctangent, float64, to 2e-15."""
    size = abs(x)
    t = 1.0 / size if size > 1.0 else size
    z = t * t
    p = 3.056748693713618e-05
    p = p * z - 0.00032139587233656836
    p = p * z + 0.001600866183831989
    p = p * z - 0.005060581747298698
    p = p * z + 0.01151951450032864
    p = p * z - 0.02042353290940655
    p = p * z + 0.029991973672844195
    p = p * z - 0.03856082686305698
    p = p * z + 0.04568030518654403
    p = p * z - 0.05202765229450565
    p = p * z + 0.0586774148232704
    p = p * z - 0.0666397831287769
    p = p * z + 0.07691941783411577
    p = p * z - 0.09090873608118902
    p = p * z + 0.11111108786727156
    p = p * z - 0.1428571419066026
    p = p * z + 0.19999999997860257
    p = p * z - 0.33333333333312376
    p = p * z + 1.0
    a = p * t
    a = 0.5 * np.pi - a if size > 1.0 else a
    return -a if x < 0.0 else a


@exact_kernel
def logarithm(x: float) -> float:
    """Return the natural logarithm of a positive, normal number, float64, to 1e-15 or so."""
    bits = np.float64(x).view(np.int64)
    exponent = (bits - _ROOT_HALF_64) >> _SHIFT_64
    m = np.int64(bits - (exponent << _SHIFT_64)).view(np.float64)
    # 2 artanh((m - 1) / (m + 1)) by its series, |argument| < 0.172.
    f = (m - 1.0) / (m + 1.0)
    z = f * f
    p = 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    p = p * z + 1.0
    return float(exponent * _LN_2 + 2.0 * f * p)
