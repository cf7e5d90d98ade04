"""What is done about each file: decided from what both sides had and have."""

from __future__ import annotations

import pytest
from hopyard_file.cloud.deciding import Action, Known, plan, too_many
from hopyard_file.cloud.names import collisions, other_name, refusal
from hopyard_file.cloud.settings import Direction
from hopyard_file.cloud.sides import Here, There
from hypothesis import given, settings
from hypothesis import strategies as st

#: What a side can have of a file, as a number that stands for its content.
CONTENTS = st.one_of(st.none(), st.integers(1, 3))
DIRECTIONS = st.sampled_from(["up", "down", "both"])


def here(content: int) -> Here:
    return Here(content, 1.0, f"here {content}")


def there(content: int) -> There:
    return There(content, 1.0, f"there {content}")


def known(content: int) -> Known:
    return Known(content, str(content), f"here {content}", f"there {content}")


def action(direction: Direction, before: int | None, ours: int | None, theirs: int | None) -> Action | None:
    """Return what is done about one file."""
    made = plan(
        direction,
        {} if before is None else {"f": known(before)},
        {} if ours is None else {"f": here(ours)},
        {} if theirs is None else {"f": there(theirs)},
    )
    return made.steps[0].action if made.steps else None


@pytest.mark.parametrize(
    ("before", "ours", "theirs", "both", "up", "down"),
    [
        (1, 1, 1, None, None, None),
        (1, 2, 1, "UP", "UP", None),
        (1, 1, 2, "DOWN", None, "DOWN"),
        (1, 2, 3, "COMPARE", "COMPARE", "COMPARE"),
        (1, None, 1, "DELETE_THERE", "DELETE_THERE", None),
        (1, 1, None, "DELETE_HERE", None, "DELETE_HERE"),
        (1, None, None, "FORGET", "FORGET", "FORGET"),
        (1, 2, None, "UP", "UP", None),
        (1, None, 2, "DOWN", None, "DOWN"),
        (None, 1, None, "UP", "UP", None),
        (None, None, 1, "DOWN", None, "DOWN"),
        (None, 1, 2, "COMPARE", "COMPARE", "COMPARE"),
    ],
)
def test_each_case(
    before: int | None,
    ours: int | None,
    theirs: int | None,
    both: str | None,
    up: str | None,
    down: str | None,
) -> None:
    for direction, expected in (("both", both), ("up", up), ("down", down)):
        found = action(direction, before, ours, theirs)  # type: ignore[arg-type]
        assert (found.name if found else None) == expected, direction


@settings(deadline=None)
@given(DIRECTIONS, CONTENTS, CONTENTS, CONTENTS)
def test_only_what_was_seen_on_both_sides_is_deleted_and_no_change_is_lost(
    direction: Direction, before: int | None, ours: int | None, theirs: int | None
) -> None:
    found = action(direction, before, ours, theirs)
    if found is Action.DELETE_HERE:
        assert ours == before
        assert theirs is None
    if found is Action.DELETE_THERE:
        assert theirs == before
        assert ours is None
    if found is Action.UP:
        assert theirs in (before, None)
        assert direction != "down"
    if found is Action.DOWN:
        assert ours in (before, None)
        assert direction != "up"


@pytest.mark.parametrize(
    ("deletions", "files", "share", "asked"),
    [
        (0, 0, 0, False),
        (1, 1, 1, True),
        (1, 2, 0, False),
        (2, 3, 0.25, True),
        (5, 10, 0, False),
        (5, 9, 0.25, True),
        (5, 5, 0.25, True),
        (6, 12, 0.25, True),
        (25, 100, 0.25, False),
        (26, 100, 0.25, True),
        (99, 100, 1, False),
        (100, 100, 1, True),
    ],
)
def test_many_deletions_are_a_question(deletions: int, files: int, share: float, asked: bool) -> None:
    assert too_many(deletions, files, share) is asked


@pytest.mark.parametrize(
    "path",
    [
        "../evil",
        "a/../b",
        "/etc/passwd",
        "",
        "a//b",
        "./a",
        "a\nb",
        "a\0b",
        "a\x7fb",
        "a\\b",
        "trailing.",
        "folder./file",
        "trailing ",
        " leading",
        "x" * 256,
        "x/" * 600 + "x",
        "odd \udcff",
        ".hopyard-sync-0123",
    ],
)
def test_names_that_one_side_cannot_have(path: str) -> None:
    assert refusal(path) is not None


@pytest.mark.parametrize("path", ["a", "a b/c.d", ".hidden", "ünïcödé/日本", "a'\"$%&?*<>|:;#"])
def test_names_that_both_sides_can_have(path: str) -> None:
    assert refusal(path) is None


def test_names_that_are_one_for_others_are_set_aside() -> None:
    paths = ["README", "readme", "Ångström", "A\u030angstro\u0308m", "a", "a/b", "alone"]
    aside = collisions(paths, {"readme"}, fold_case=True)
    assert set(aside) == {"README", "Ångström", "A\u030angstro\u0308m", "a/b"}
    assert "a is a file" in aside["a/b"]
    assert "README" not in collisions(paths, (), fold_case=False)


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=255))
def test_the_other_name_is_another_and_fits(name: str) -> None:
    made = other_name(f"folder/{name}", "0123456789" * 6)
    assert made.startswith("folder/")
    assert made != f"folder/{name}"
    assert len(made.removeprefix("folder/").encode()) <= 255
    assert "(other version 01234567)" in made
