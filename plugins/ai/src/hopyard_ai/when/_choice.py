"""Which parts of a sentence say when it is wanted, and which are only about time.

"Remind me tomorrow at 9 to prepare the meeting on Friday": neighbouring parts make a group, the group
that says most is meant, and others may only fill what it leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hopyard.errors import ScheduleError

from hopyard_ai.when._bounds import instants, starts, untils
from hopyard_ai.when._clocks import clocks, delays, parts, spans, windows
from hopyard_ai.when._days import days
from hopyard_ai.when._parts import Amount, Day, Found, Repeat, Slot
from hopyard_ai.when._repeats import counts, repeats
from hopyard_ai.when._tokens import Tokens, words

EXAMPLES = ("in 20 minutes", "tomorrow at 9:00", "every weekday at 8:00")
_READERS = (instants, windows, untils, starts, counts, repeats, delays, spans, days, clocks, parts)
_WEIGHT: Mapping[Slot, int] = {
    "instant": 4,
    "repeat": 3,
    "delay": 3,
    "day": 2,
    "clock": 2,
    "past": 2,
    "part": 1,
}
_JOINS = frozenset(
    (",", ";", "and", "then", "also", "again", "-", "–", "the", "sharp", "exactly", "precisely")
)
_OBJECTS = words(
    "by since before of about last past during the my our your his her their previous than regarding"
)
_COURTESY = words(
    "please hey hi hello ok can could would will you i me want need to like us remind tell that just kindly "
    ", . ! : set a reminder schedule notify"
)
_TAIL = words(". ! ? please thanks thank you ,")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the sentence says about when; `founds` are the parts to take out of it."""

    slots: Mapping[Slot, Found]
    founds: tuple[Found, ...]


def unclear(text: str, why: str) -> ScheduleError:
    """The error for a sentence that gives no time, with phrasings that work."""
    shown = text.strip() if len(text.strip()) <= 80 else f"{text.strip()[:77]}…"
    examples = ", ".join(f"`{example}`" for example in EXAMPLES)
    return ScheduleError(f"{why} in `{shown}`; say it, for example, as {examples}")


def choose(text: str, tokens: Tokens) -> Choice:
    """Find the parts of `tokens` that say when. Raises ScheduleError if none or several do."""
    groups = [group for group in _groups(tokens) if not _is_object(tokens, group[0])]
    strong = [group for group in groups if any(found.strong and found.slot in _WEIGHT for found in group)]
    candidates = strong or [group for group in groups if _at_edge(tokens, group)]
    candidates = [group for group in candidates if _score(group)]
    if not candidates:
        raise _nothing(text, groups)
    main = _best(text, tokens, candidates)
    slots = _slots(text, main)
    taken = [found for found in main if slots[found.slot] is found]
    taken += [slots["repeat"]] if "repeat" in slots and slots["repeat"] not in main else []
    for group in groups:
        if group is main:
            continue
        for found in group:
            if _fills(tokens, found, slots, strong=group in strong):
                slots[found.slot] = found
                slots.update({extra.slot: extra for extra in found.also if extra.slot not in slots})
                taken.append(found)
    _check(text, slots)
    return Choice(slots, tuple(sorted(taken, key=lambda found: found.first)))


def _groups(tokens: Tokens) -> list[list[Found]]:
    groups: list[list[Found]] = []
    index = 0
    while index < len(tokens):
        found = next((found for read in _READERS if (found := read(tokens, index)) is not None), None)
        if found is None:
            index += 1
            continue
        if groups and all(
            tokens.word(between) in _JOINS for between in range(groups[-1][-1].end, found.first)
        ):
            groups[-1].append(found)
        else:
            groups.append([found])
        index = found.end
    return groups


def _is_object(tokens: Tokens, first: Found) -> bool:
    """`the Monday report`, `by 5pm`, `since yesterday`: about a time, not when it is wanted."""
    if first.slot in ("until", "start") or (first.slot == "repeat" and first.strong):
        return False
    return tokens.word(first.first - 1) in _OBJECTS


def _at_head(tokens: Tokens, group: Sequence[Found]) -> bool:
    return all(tokens.word(index) in _COURTESY for index in range(group[0].first))


def _at_tail(tokens: Tokens, group: Sequence[Found]) -> bool:
    return all(tokens.word(index) in _TAIL for index in range(group[-1].end, len(tokens)))


def _at_edge(tokens: Tokens, group: Sequence[Found]) -> bool:
    return _at_head(tokens, group) or _at_tail(tokens, group)


def _score(group: Sequence[Found]) -> int:
    slots = {found.slot for found in group} | {extra.slot for found in group for extra in found.also}
    return sum(_WEIGHT.get(slot, 0) for slot in slots)


def _best(text: str, tokens: Tokens, groups: Sequence[list[Found]]) -> list[Found]:
    top = max(_score(group) for group in groups)
    best = [group for group in groups if _score(group) == top]
    kinds = [{found.slot for found in group} for group in best]
    if len(best) > 1 and any(kinds[0] & other for other in kinds[1:]):
        best = [group for group in best if _at_head(tokens, group)] or [
            group for group in best if _at_tail(tokens, group)
        ]
        if len(best) != 1:
            raise unclear(text, "more than one time was found, and it is not clear which is meant,")
    return best[0]


def _slots(text: str, group: Sequence[Found]) -> dict[Slot, Found]:
    slots: dict[Slot, Found] = {}
    for found in group:
        if found.slot not in slots:
            slots[found.slot] = found
        elif (both := _one_repeat(slots[found.slot], found)) is not None:
            slots[found.slot] = both
        elif found.strong and found.slot in ("day", "delay", "repeat", "clock"):
            raise unclear(
                text, f"two times were found ({found.slot} twice), and it is not clear which is meant,"
            )
    for found in group:
        for extra in found.also:
            slots.setdefault(extra.slot, extra)
    return slots


def _one_repeat(first: Found, second: Found) -> Found | None:
    """`weekly on Sundays` is one recurrence."""
    one, other = first.value, second.value
    if not isinstance(one, Repeat) or not isinstance(other, Repeat) or not one.bare or other.interval > 1:
        return None
    if one.freq != other.freq or other.bare:
        return None
    return Found("repeat", replace(other, interval=one.interval), first.first, second.end, also=first.also)


def _fills(tokens: Tokens, found: Found, slots: Mapping[Slot, Found], *, strong: bool) -> bool:
    """Whether a part that stands apart from the chosen group completes it."""
    if found.slot in slots or "instant" in slots or tokens.word(found.first - 1) == "for":
        return False
    edge = strong or _at_edge(tokens, [found])
    repeat, delay = slots.get("repeat"), slots.get("delay")
    recurring = repeat is not None and isinstance(repeat.value, Repeat)
    if found.slot in ("clock", "part"):
        if delay is not None and isinstance(delay.value, Amount) and not delay.value.calendar:
            return False
        within_day = repeat is not None and isinstance(repeat.value, Repeat) and not repeat.value.freq
        return edge and not within_day and (found.slot == "clock" or (found.strong and "clock" not in slots))
    if found.slot == "day":
        return edge and isinstance(found.value, Day) and _day_fits(found.value, slots)
    if found.slot == "repeat":
        return edge and not {"delay", "day"} & slots.keys() and (strong or _at_head(tokens, [found]))
    if found.slot in ("until", "start", "span"):
        return recurring and (found.slot != "span" or _at_tail(tokens, [found]))
    alone = tokens.word(found.first - 1) == "," or tokens.word(found.first) == "for"
    return found.slot == "count" and recurring and alone


def _day_fits(day: Day, slots: Mapping[Slot, Found]) -> bool:
    if "delay" in slots:
        return False
    repeat = slots.get("repeat")
    if repeat is None or not isinstance(repeat.value, Repeat):
        return True
    return repeat.value.bare and day_completes(repeat.value, day)


def day_completes(repeat: Repeat, day: Day) -> bool:
    """Whether `on monday` can follow `every week`, `on the 1st` can follow `monthly`, and so on."""
    if day.year is not None or day.later or day.week is not None:
        return False
    if repeat.freq == "WEEKLY":
        return bool(day.weekdays)
    if repeat.freq == "MONTHLY":
        return (bool(day.days) or day.nth is not None) and day.month is None
    return repeat.freq == "YEARLY" and (bool(day.days) or day.nth is not None) and day.month is not None


def _check(text: str, slots: Mapping[Slot, Found]) -> None:
    if "past" in slots:
        raise unclear(text, "a time in the past was found")
    if "often" in slots:
        raise unclear(text, "the times of the day are missing (`every day at 8 and 20`)")
    if "window" in slots:
        raise unclear(text, "`between … and …` was found, which is not supported,")


def _nothing(text: str, groups: Sequence[Sequence[Found]]) -> ScheduleError:
    slots = {found.slot for group in groups for found in group}
    if "often" in slots:
        return unclear(text, "the times of the day are missing (`every day at 8 and 20`)")
    return unclear(text, "no time was understood")
