"""Texts in pieces that fit a model."""

from __future__ import annotations

from typing import Final

from hopyard.errors import InvalidInput

from hopyard_ai.agent.answers import clean

#: A token is about four letters of English (OpenAI's rule of thumb), less in other languages and in code, and
#: about one character of Chinese, which has three bytes: so many bytes are nearly always a token or more.
_BYTES_PER_TOKEN: Final = 3
#: What begins a mark, and its forms of other widths. Which of them begin one nobody can say: characters that
#: are not seen may stand within a mark, and each edition of Unicode has more of them.
_OPENING: Final = str.maketrans(
    dict.fromkeys("<\N{SMALL LESS-THAN SIGN}\N{FULLWIDTH LESS-THAN SIGN}", "&lt;")
)
#: Where a text is best cut, the best first.
_BORDERS: Final = (b"\n\n", b"\n", b". ", b" ")


def tokens(text: str) -> int:
    """Return about how many tokens a text takes, rather too many than too few."""
    return -(-len(text.encode(errors="replace")) // _BYTES_PER_TOKEN)


def checked(text: str, most: int, what: str = "content", setting: str = "content.max_tokens") -> str:
    """Return a text that can be stored and sent. Raises `InvalidInput` where it is empty or too long."""
    text = clean(text)
    if not text.strip():
        raise InvalidInput(f"the {what} is empty: expected a text")
    if (found := tokens(text)) > most:
        raise InvalidInput(
            f"the {what} has about {found:,} tokens, expected at most {most:,} (`{setting}` of the plugin ai)"
        )
    return text


def pieces(text: str, most: int) -> list[str]:
    """Return a text in pieces of at most so many tokens each, cut at the best border in the second half.

    Together they are the text.
    """
    data, limit = text.encode(), most * _BYTES_PER_TOKEN
    found, start = [], 0
    while len(data) - start > limit:
        end = _border(data, start, start + limit)
        found.append(data[start:end].decode())
        start = end
    found.append(data[start:].decode())
    return found


def _border(data: bytes, start: int, end: int) -> int:
    half = start + (end - start) // 2
    for border in _BORDERS:
        at = data.rfind(border, half, end)
        if at >= 0:
            return at + len(border)
    while data[end] & 0xC0 == 0x80:  # never within a character
        end -= 1
    return end


def framed(text: str, name: str = "text") -> str:
    """Return a text as a model is shown it: between marks that the text itself cannot have.

    Nor what a model may take for one, in capitals, with spaces, with characters that nobody sees: each `<` in
    it is shown as `&lt;`, as in a web page.
    """
    return f"<{name}>\n{text.translate(_OPENING)}\n</{name}>"
