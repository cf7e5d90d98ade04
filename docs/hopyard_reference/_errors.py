"""The tree of errors."""

from __future__ import annotations

from collections.abc import Iterator

from hopyard import errors

from hopyard_reference._words import code, constructor, said


def page() -> str:
    """Return the page's text: the tree, then each error."""
    return f"{code(errors.__doc__ or '', '')}\n" + "\n".join(_error(one, above) for one, above in tree())


def tree() -> Iterator[tuple[type[BaseException], str]]:
    """Yield all errors with the names above them, each below its base."""

    def below(cls: type[BaseException], above: str) -> Iterator[tuple[type[BaseException], str]]:
        yield cls, above
        for one in cls.__subclasses__():
            if one.__module__ == errors.__name__:
                yield from below(one, f"{above} → {cls.__name__}" if above else cls.__name__)

    yield from below(errors.HopyardError, "")


def _error(cls: type[BaseException], above: str) -> str:
    made = constructor(cls.__name__, cls) if "__init__" in vars(cls) else ""
    from_where = f"{above} → `{cls.__name__}`\n\n" if above else ""
    return f"## `{cls.__name__}`\n\n{from_where}{said(cls)}\n{made}"
