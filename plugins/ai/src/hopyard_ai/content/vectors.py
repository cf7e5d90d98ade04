"""Vectors of texts: made by words offline, stored as bytes, compared by their cosine."""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import mul
from typing import Final

from hopyard.errors import InvalidInput, TransientError

#: Of the lexical vectors. Fewer would have unlike words meet; more cost room and time in each comparison.
LEXICAL_DIMENSIONS: Final = 1024
_WORD: Final = re.compile(r"\w+")
_LONGEST_WORD: Final = 40


def lexical(text: str) -> list[float]:
    """Return the vector of a text by its words and their parts of three letters.

    Each is hashed to a dimension and a sign, weighed by the logarithm of its count (K. Weinberger and others,
    Feature hashing for large scale multitask learning, 2009). Texts with words in common are near to each
    other; what the words mean plays no part.
    """
    vector = [0.0] * LEXICAL_DIMENSIONS
    for feature, count in Counter(_features(text)).items():
        number = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "big")
        weight = (1.0 if feature[0] == "w" else 0.3) * (1 + math.log(count))
        vector[number % LEXICAL_DIMENSIONS] += weight if number >> 63 else -weight
    return vector


def _features(text: str) -> Iterator[str]:
    for word in _WORD.findall(text.lower()):
        short = word[:_LONGEST_WORD]
        yield f"w{short}"
        padded = f"^{short}$"
        for n in range(len(padded) - 2):
            yield f"p{padded[n : n + 3]}"


def packed(vector: Sequence[float]) -> bytes:
    """Return a vector of length one in that direction, as 32-bit floats.

    Raises `TransientError` for a vector with what is no number in it, `InvalidInput` for one that is zero:
    nothing is near to it.
    """
    try:
        length = math.hypot(*vector)
    except (TypeError, ValueError, OverflowError):
        length = math.nan
    if not math.isfinite(length):
        raise TransientError("the model's vector has values that are no numbers")
    if not length:
        raise InvalidInput("its vector is zero: it has nothing by which it can be found, such as words")
    return array("f", [value / length for value in vector]).tobytes()


def dimensions(data: bytes) -> int:
    """Return how many dimensions a packed vector has."""
    return len(data) // array("f").itemsize


def unpacked(data: bytes) -> array[float]:
    """Return the vector that `packed` made bytes of."""
    vector = array("f")
    vector.frombytes(data)
    return vector


def cosine(one: array[float], other: array[float]) -> float:
    """Return the cosine of two vectors of length one."""
    return float(sum(map(mul, one, other)))
