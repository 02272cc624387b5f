"""Compute the matrices that convert colours of other primaries to those of BT.709."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float64]

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_SMPTE_C = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65)
# ITU-T H.273, table 2: x and y of red, green, blue and white.
_CHROMATICITIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),  # BT.709
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),  # BT.470 M
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), _D65),  # BT.601, 625 lines
    6: _SMPTE_C,  # BT.601, 525 lines
    7: _SMPTE_C,  # SMPTE 240M
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),  # film
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),  # BT.2020
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _DCI),  # DCI-P3
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),  # Display P3
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),  # EBU Tech 3213
}
_BT709 = 1
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def to_bt709(code: int) -> Matrix | None:
    """Return the (3, 3) matrix from linear RGB of other primaries to that of BT.709.

    code: of the primaries, in H.273. None if they are those of BT.709, or unknown. White becomes
    the white of BT.709.
    """
    if code == _BT709 or code not in _CHROMATICITIES:
        return None
    (to_xyz, white), (from_709, white_709) = _to_xyz(code), _to_xyz(_BT709)
    cones = (_BRADFORD @ white_709) / (_BRADFORD @ white)
    adapt = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    return np.asarray(np.linalg.inv(from_709) @ adapt @ to_xyz)


def _to_xyz(code: int) -> tuple[Matrix, Matrix]:
    """Return the (3, 3) matrix from linear RGB to CIE XYZ, and the (3,) XYZ of white."""
    red, green, blue, white = (
        np.array([x / y, 1, (1 - x - y) / y]) for x, y in _CHROMATICITIES[code]
    )
    columns = np.stack([red, green, blue], axis=1)
    return columns * np.linalg.solve(columns, white), white
