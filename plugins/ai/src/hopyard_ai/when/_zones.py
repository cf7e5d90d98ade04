"""The grammar of zones: `UTC`, `9am EST`, `Berlin time`, `Europe/Berlin`."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import available_timezones

from hopyard_ai.when._numbers import look, rule, terminal
from hopyard_ai.when._tokens import Tokens
from hopyard_ai.when._values import Spec, Zone
from hopyard_ai.when._words import OFFSETS, REGIONS, SMALL, UNCLEAR_ZONES, UNREAD_ZONES


@look("after_clock")
def _after_clock(tokens: Tokens, index: int) -> bool:
    words = ("am", "pm", "o'clock", "noon", "midday", "midnight")
    return (
        tokens.kind(index - 1) in ("number", "time")
        or tokens.word(index - 1) in words
        or tokens.word(index - 1) in SMALL
    )


@terminal("zonename")
def _zone_name(tokens: Tokens, index: int) -> Zone | None:
    word = tokens.word(index)
    if word in ("utc", "gmt", "z"):
        return Zone("UTC", word.upper())
    if word in UNCLEAR_ZONES | UNREAD_ZONES:
        return Zone("", word.upper())
    if word in OFFSETS:
        return Zone(OFFSETS[word][0], word.upper(), OFFSETS[word][1])
    return None


@rule("zone", "<zonename> ; in? <zonename> time")
def _zone(zone: Zone) -> Spec:
    if not zone.name:
        what = "is not read as a zone" if zone.said.lower() in UNREAD_ZONES else "stands for several zones"
        return Spec(refused=f"{zone.said} {what}: name a city, such as “New York time”", weak=True)
    return Spec(zone=zone, weak=True)


@terminal("signed")
def _signed(tokens: Tokens, index: int) -> int | None:
    return {"+": 1, "-": -1}.get(tokens.word(index)) if tokens.touches(index) else None


@rule("zone", "utc|gmt <signed> <digits>")
def _offset(sign: int, hours: int) -> Spec | None:
    name = f"Etc/GMT{'-' if sign > 0 else '+'}{hours}" if hours else "UTC"
    return Spec(zone=Zone(name, name), weak=True) if hours <= 14 and name in _zones().values() else None


_ORDINARY = ("wake", "easter", "troll", "nome", "center", "knox", "eastern", "central", "mountain", "pacific")
"""Cities of zones that are ordinary words: `at 7:15 wake me`."""


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    """Names of zones and of their cities, in small letters and words."""
    found: dict[str, str] = {}
    for name in sorted(available_timezones(), reverse=True):
        found[name.lower()] = name
        area, _, city = name.rpartition("/")
        if area and area not in ("Etc", "SystemV", "US", "Brazil", "Canada", "Mexico", "Chile"):
            found[city.lower().replace("_", " ")] = name
    return found


@rule("zone", "in? <city> time?")
def _city(found: tuple[str, str]) -> Spec | None:
    name, said = found
    return Spec(zone=Zone(name, said), weak=True)


@terminal("area")
def _area(tokens: Tokens, index: int) -> str | None:
    return tokens.word(index) if tokens.kind(index) == "word" else None


@rule("city", "<area> / <area>")
def _iana(area: str, city: str) -> tuple[str, str] | None:
    name = _zones().get(f"{area}/{city}")
    return (name, name) if name else None


@rule("city", "<area> / <area> _ <area>")
def _long_iana(area: str, city: str, more: str) -> tuple[str, str] | None:
    name = _zones().get(f"{area}/{city}_{more}")
    return (name, name) if name else None


@rule("citytime", "<area>")
def _one_word_city(city: str) -> tuple[str, str] | None:
    name = REGIONS.get(city) or _zones().get(city)
    return (name, city.title()) if name and "/" in name else None


rule("barecity", "<area>", to=lambda city: (city not in _ORDINARY and "/" in _zones().get(city, "")) or None)
rule(
    "barecity",
    "<area> <area> ; <area> <area> <area>",
    to=lambda *parts: "/" in _zones().get(" ".join(parts), "") or None,
)
rule("citytime", "<area> <area> ; <area> <area> <area>", to=lambda *parts: _one_word_city(" ".join(parts)))
rule(
    "zone",
    "in? <citytime> time ; in? <citytime> standard time",
    to=lambda found: Spec(zone=Zone(*found), weak=True),
)
rule(
    "zone",
    "<after_clock> <area> time ; <after_clock> in? <barecity>",
    to=lambda *_: Spec(
        refused="a time in a zone is said with a city that has one, such as “9:00 Tokyo time”", weak=True
    ),
)
rule("zone", "my|local time ; my local time", to=lambda: Spec(weak=True))
