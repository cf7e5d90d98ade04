"""The English words that speak of time."""

from __future__ import annotations

from typing import Any

DAY_CODES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTH_NAMES = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def words(text: str) -> frozenset[str]:
    """The words of `text` as a set."""
    return frozenset(text.split())


FULL_DAYS = {name.lower(): number for number, name in enumerate(DAY_NAMES)}
DAYS = (
    FULL_DAYS
    | {name[:3]: number for name, number in FULL_DAYS.items()}
    | {"tues": 1, "weds": 2, "thur": 3, "thurs": 3}
)
PLURAL_DAYS = {f"{name}s": number for name, number in FULL_DAYS.items()}
MONTHS = (
    {name.lower(): number for number, name in enumerate(MONTH_NAMES, 1)}
    | {name[:3].lower(): number for number, name in enumerate(MONTH_NAMES, 1)}
    | {"sept": 9}
)
_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
    *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
SMALL = {word: number for number, word in enumerate(_SMALL)}
TENS = {
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
}
_NTH = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
    *("eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth"),
    *("eighteenth", "nineteenth", "twentieth"),
)
ORDINALS = {word: number for number, word in enumerate(_NTH, 1)} | {"thirtieth": 30}
PARTS = {"morning": 8, "afternoon": 15, "evening": 19, "night": 20}
"""Parts of the day and the hour that one stands for where no time is given."""
HOLIDAYS = {
    "christmas day": (12, 25),
    "christmas": (12, 25),
    "xmas": (12, 25),
    "christmas eve": (12, 24),
    "boxing day": (12, 26),
    "new year's eve": (12, 31),
    "new years eve": (12, 31),
    "new year's day": (1, 1),
    "new years day": (1, 1),
    "new year's": (1, 1),
    "new year": (1, 1),
    "halloween": (10, 31),
    "valentine's day": (2, 14),
    "valentines day": (2, 14),
    "april fools day": (4, 1),
    "april fools' day": (4, 1),
}
"""Those with a date that is the same each year and everywhere: month and day."""
OFFSETS: dict[str, tuple[str, int]] = {
    "cet": ("Europe/Berlin", 60),
    "cest": ("Europe/Berlin", 120),
    "eet": ("Europe/Helsinki", 120),
    "eest": ("Europe/Helsinki", 180),
    "wet": ("Europe/Lisbon", 0),
    "west": ("Europe/Lisbon", 60),
    "est": ("America/New_York", -300),
    "edt": ("America/New_York", -240),
    "pst": ("America/Los_Angeles", -480),
    "pdt": ("America/Los_Angeles", -420),
    "mdt": ("America/Denver", -360),
    "cdt": ("America/Chicago", -300),
    "jst": ("Asia/Tokyo", 540),
    "aest": ("Australia/Sydney", 600),
    "aedt": ("Australia/Sydney", 660),
}
"""Abbreviations of zones: a place, and minutes east of UTC. Those with several meanings are not here."""
REGIONS = {
    "eastern": "America/New_York",
    "central european": "Europe/Berlin",
    "pacific": "America/Los_Angeles",
    "mountain": "America/Denver",
    "us eastern": "America/New_York",
    "us central": "America/Chicago",
    "us mountain": "America/Denver",
    "us pacific": "America/Los_Angeles",
    "uk": "Europe/London",
    "british": "Europe/London",
    "german": "Europe/Berlin",
    "french": "Europe/Paris",
    "japan": "Asia/Tokyo",
    "indian": "Asia/Kolkata",
    "india": "Asia/Kolkata",
}
UNCLEAR_ZONES = words("ist cst mst bst ast sst gst et pt ct mt")
"""Abbreviations of zones that stand for several."""
UNREAD_ZONES = words("hkt nzst nzdt akst akdt msk sast pkt sgt kst awst acst acdt brt wib wita zulu")
"""Others, which are known to be zones' and not read."""

OFTEN = words("""
    biweekly bimonthly biannually semiannually semiweekly
    hourly daily nightly weekly fortnightly monthly quarterly yearly annually
""")
_UNKNOWN = """
easter thanksgiving ramadan hanukkah diwali passover pentecost epiphany lent advent
spring summer autumn winter season seasons sunrise sunset dawn dusk lunchtime dinnertime teatime bedtime
forenoon
eod eow eom cob
decade decades century centuries millennium
fortnight fortnights quarter quarters semester semesters trimester solstice equinox
midweek weeknight weeknights
yesterday today tomorrow tonight noon midday midnight weekday weekdays workday workdays weekend weekends
mornings afternoons evenings nights o'clock
overnight daytime daytimes nighttime nighttimes summertime wintertime springtime termtime mealtimes
"""
OCCASIONS = words("""
    birthday birthdays anniversary anniversaries payday holiday holidays vacation vacations easter
    thanksgiving
    ramadan hanukkah diwali passover pentecost
""")
TIMELY = (
    OCCASIONS
    | OFTEN
    | words(_UNKNOWN)
    | FULL_DAYS.keys()
    | PLURAL_DAYS.keys()
    | {name.lower() for name in MONTH_NAMES if name not in ("March", "May")}
)
"""Words that speak of time wherever they stand."""
SHORTENED: dict[str, str] = {
    **dict.fromkeys(
        ("tmrw", "tmr", "tmw", "tmrow", "tomoz", "2moro", "2morrow", "2mrw", "morrow"), "tomorrow"
    ),
    **dict.fromkeys(("wkday", "wkdays", "wkdy"), "weekday"),
    **dict.fromkeys(("wkend", "wknd", "wkends"), "weekend"),
    **dict.fromkeys(("ev", "evry", "evy", "evr", "ea"), "every"),
    **dict.fromkeys(("tonite", "2nite", "2night", "tnight"), "tonight"),
    **dict.fromkeys(("2day", "tday"), "today"),
    **dict.fromkeys(("nxt",), "next"),
    **dict.fromkeys(("morn", "mornin"), "morning"),
    **dict.fromkeys(("aft", "arvo"), "afternoon"),
    **dict.fromkeys(("eve", "evng"), "evening"),
    **dict.fromkeys(("mos", "mth", "mths"), "month"),
    **dict.fromkeys(("yr", "yrs"), "year"),
    **dict.fromkeys(("mons", "tuess", "fris", "sats", "suns", "mwf", "mtwtf", "mf"), "Monday to Friday"),
    **dict.fromkeys(("wensday", "wendsday"), "Wednesday"),
}
"""Short and wrong forms of words; they are suggested, never assumed."""
FOREIGN = words("""
    morgen heute übermorgen uebermorgen gestern jeden jede jedes täglich taeglich uhr stunde stunden
    minuten um montag dienstag mittwoch donnerstag freitag samstag sonntag wochentags abend abends
    mittags morgens nachts demain aujourd'hui chaque jour jours heure heures lundi mardi mercredi jeudi
    vendredi samedi dimanche tous soir matin midi minuit dans à mañana manana hoy cada día dia días dias
    hora horas lunes martes miércoles jueves viernes sábado domingo las tarde noche domani oggi ogni
    giorno alle ore lunedì martedì mercoledì giovedì venerdì sabato domenica sera amanhã hoje às todo
    todos os dias segunda imorgen vandaag elke dag maandag uur om jutro dziś codziennie zavtra kl
    klockan idag imorgon varje
""")
"""Words of other languages that speak of time, or stand before one."""
Value = Any
