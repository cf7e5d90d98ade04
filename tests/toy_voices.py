"""Two toy models that tell a low voice from a high one, in the forms that sherpa-onnx loads: 1 kB each.

The real library loads and runs them like any others: the first says for each tenth of a second whether a low
tone, a high one or nobody is heard; the second makes a vector of the sound's spectrum. They are written
byte by byte in ONNX' form (Protocol Buffers), so that nothing needs to be installed for it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

RATE = 16_000
_FRAME = RATE // 10
_WINDOW = 10 * RATE
_FLOAT = 1


def make(folder: Path) -> tuple[Path, Path]:
    """Write both models; return their files: that of segmentation, and that of voices."""
    found = folder / "segmentation.onnx", folder / "voices.onnx"
    found[0].write_bytes(_segmentation())
    found[1].write_bytes(_voices())
    return found


def _segmentation() -> bytes:
    """How loud it is, and how much a sound changes from sample to sample, tells who is heard.

    Of seven classes (nobody, each of three, each pair of them) the first three are ever chosen.
    """
    weights = [(0, 0), (1, -2), (-0.2, 1)] + [(0, 0)] * 4
    bias = [0, -0.05, -0.03] + [-1.0] * 4
    nodes = [
        _node("Conv", ["x", "change"], "moved", pads=[1, 0], kernel_shape=[2]),
        _node("Abs", ["moved"], "size"),
        _node("AveragePool", ["size"], "mean", kernel_shape=[_FRAME], strides=[_FRAME]),
        _node("Conv", ["mean", "weights", "bias"], "scores", kernel_shape=[1]),
        _node("Transpose", ["scores"], "y", perm=[0, 2, 1]),
    ]
    tensors = [
        _tensor("change", (2, 1, 2), [0, 1, -1, 1]),
        _tensor("weights", (7, 2, 1), [value for pair in weights for value in pair]),
        _tensor("bias", (7,), bias),
    ]
    about = {
        "model_type": "pyannote-segmentation-3.0",
        "sample_rate": RATE,
        "num_speakers": 3,
        "powerset_max_classes": 2,
        "num_classes": 7,
        "window_size": _WINDOW,
        "receptive_field_size": _FRAME,
        "receptive_field_shift": _FRAME,
    }
    return _model(nodes, tensors, ("x", ["N", 1, "T"]), ("y", ["N", "F", 7]), about)


def _voices() -> bytes:
    """The mean spectrum of the features, around its own mean."""
    nodes = [
        _node("ReduceMean", ["x"], "spectrum", axes=[1], keepdims=0),
        _node("ReduceMean", ["spectrum"], "level", axes=[1], keepdims=1),
        _node("Sub", ["spectrum", "level"], "y"),
    ]
    about = {
        "framework": "wespeaker",
        "language": "none",
        "url": "none",
        "comment": "none",
        "sample_rate": RATE,
        "output_dim": 80,
        "normalize_samples": 1,
        "feature_normalize_type": "",
    }
    return _model(nodes, [], ("x", ["N", "T", 80]), ("y", ["N", 80]), about)


# --- the form of ONNX


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: int | Sequence[int]) -> bytes:
    found = b"".join(_field(1, one) for one in inputs) + _field(2, output) + _field(4, kind)
    for name, value in attributes.items():
        own = _field(1, name)
        if isinstance(value, int):
            own += _field(3, value) + _field(20, 2)
        else:
            own += b"".join(_field(8, one) for one in value) + _field(20, 7)
        found += _field(5, own)
    return found


def _tensor(name: str, shape: Sequence[int], values: Sequence[float]) -> bytes:
    data = struct.pack(f"<{len(values)}f", *values)
    dimensions = b"".join(_field(1, one) for one in shape)
    return dimensions + _field(2, _FLOAT) + _field(8, name) + _field(9, data)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(_field(1, _field(1 if isinstance(one, int) else 2, one)) for one in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, _FLOAT) + _field(2, sizes)))


def _model(
    nodes: Sequence[bytes],
    tensors: Sequence[bytes],
    given: tuple[str, Sequence[int | str]],
    made: tuple[str, Sequence[int | str]],
    about: Mapping[str, object],
) -> bytes:
    graph = b"".join(_field(1, one) for one in nodes) + _field(2, "toy")
    graph += b"".join(_field(5, one) for one in tensors)
    graph += _field(11, _value(*given)) + _field(12, _value(*made))
    noted = b"".join(_field(14, _field(1, key) + _field(2, str(value))) for key, value in about.items())
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13)) + noted
