"""Which matrix and range a picture is converted with, and which tags it leaves with. Pure.

Code points are those of ITU-T H.273 as ffmpeg numbers them: AVColorSpace (``matrix``),
AVColorPrimaries, AVColorTransferCharacteristic, AVColorRange. ffmpeg's scaler knows fewer matrices
than H.273 lists, so a matrix has two roles here: one is *used*, one is *said*.

The rule that everything below serves: what a viewer makes of our output is what the engine saw.
"""

from __future__ import annotations

from dataclasses import replace

from workers.media.frames import Colour

UNSPECIFIED = 2
BT709 = 1
FCC = 4
BT470BG = 5
SMPTE170M = 6
SMPTE240M = 7
BT2020_NCL = 9
BT2020_CL = 10

RANGE_UNSPECIFIED = 0
LIMITED = 1
FULL = 2

HD_LINES = 720  # untagged video of at least so many lines is taken for BT.709, as players do

# Said -> used. BT.470BG and SMPTE 170M are one matrix. Constant-luminance BT.2020 is not linear in
# RGB; its neighbour is close, and the way back undoes exactly what the way in did.
_USED = {
    BT709: BT709,
    FCC: FCC,
    BT470BG: SMPTE170M,
    SMPTE170M: SMPTE170M,
    SMPTE240M: SMPTE240M,
    BT2020_NCL: BT2020_NCL,
    BT2020_CL: BT2020_NCL,
}

# The scaler's own number for a used matrix (SWS_CS_*): it calls BT.601 by 5 alone.
_SCALER = {matrix: matrix for matrix in _USED.values()} | {SMPTE170M: BT470BG}

_PRIMARIES = frozenset({1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 22})
_TRANSFERS = frozenset({1, *range(4, 19)})


def default_matrix(height: int) -> int:
    """The matrix of video that does not say: BT.601 below 720 lines, BT.709 from there."""
    return BT709 if height >= HD_LINES else SMPTE170M


def colour_from_tags(
    matrix: int, primaries: int, transfer: int, value_range: int, *, height: int, pix_fmt: str
) -> Colour:
    """The Colour of a decoded picture.

    A matrix that cannot be converted with (identity, YCgCo, ICtCp, reserved ones) and pictures
    decoded as RGB are treated as untagged, and leave tagged with what was used instead: repeating a
    tag that our YUV does not follow would show other colours than the engine saw.
    ``primaries`` and ``transfer`` pass through; nothing here maps gamuts or tone curves.
    """
    is_rgb = pix_fmt.startswith(("gbr", "rgb", "bgr"))
    full = not is_rgb and (value_range == FULL or pix_fmt.startswith("yuvj"))
    tag_range = FULL if full else (LIMITED if value_range == LIMITED else RANGE_UNSPECIFIED)
    if is_rgb or (matrix != UNSPECIFIED and matrix not in _USED):
        used = tag_matrix = default_matrix(height)
        tag_range = FULL if full else LIMITED
    else:
        used, tag_matrix = _USED.get(matrix, default_matrix(height)), matrix
    return Colour(
        matrix=used,
        full_range=full,
        tag_matrix=tag_matrix,
        tag_primaries=primaries if primaries in _PRIMARIES else UNSPECIFIED,
        tag_transfer=transfer if transfer in _TRANSFERS else UNSPECIFIED,
        tag_range=tag_range,
    )


def untagged(height: int) -> Colour:
    """The Colour of a picture that never was YUV (a camera's JPEG, a generated frame)."""
    return Colour(matrix=default_matrix(height), full_range=False)


def for_output(colour: Colour, height: int) -> Colour:
    """The Colour to encode with at ``height`` lines.

    Untagged output is read by its height, whatever the source's height was: a graph or a rescale
    that crosses 720 lines changes the matrix that a viewer will assume.
    """
    if colour.tag_matrix != UNSPECIFIED:
        return colour
    matrix = default_matrix(height)
    return colour if matrix == colour.matrix else replace(colour, matrix=matrix)


def scaler_matrix(colour: Colour) -> int:
    """The scaler's name (SWS_CS_*) of the matrix in use."""
    return _SCALER[_USED[colour.matrix]]


def scaler_range(colour: Colour) -> int:
    """AVColorRange of the YUV side of a conversion."""
    return FULL if colour.full_range else LIMITED
