# ruff: noqa: SIM905, E501  (word lists and sentence patterns read best as running text)
"""Everyday, telephone-like, numeric and spelled sentences, composed from parts."""

from __future__ import annotations

import random
from collections.abc import Callable

_ONES = "zero one two three four five six seven eight nine".split()
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_LETTERS = "B C D E F G H J K L M N P Q R S T U V W X Y Z".split()
_NATO = (
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar "
    "papa quebec romeo sierra tango uniform victor whiskey yankee zulu"
).split()
_NAMES = (
    "Alice Anna Ben Carlos Carol Daniel David Diana Emma Eric Frank Grace Hannah Harry Helen Ivan "
    "Jack James Jane John Julia Karen Kevin Laura Linda Lisa Maria Mark Martin Mary Michael Nancy "
    "Nina Oliver Oscar Paul Peter Rachel Robert Rosa Sam Sarah Simon Sophie Steven Susan Thomas "
    "Tina Victor William"
).split()
_PLACES = (
    "Berlin Boston Cairo Chicago Dallas Denver Dublin London Madrid Miami Milan Moscow Paris Rome "
    "Seattle Sydney Tokyo Toronto Vienna Warsaw Oslo Lisbon Athens Prague Geneva Texas Canada "
    "France Germany India Japan Spain Brazil Mexico Kenya Egypt China Italy Sweden"
).split()
_THINGS = (
    "account address agreement apartment bag bank bicycle bill book bottle box bus camera car card "
    "chair charger city clock coat code computer connection conversation copy cup customer delivery "
    "desk dinner directory doctor document door email engine exit extension file flight form garden "
    "gate glass hospital hotel house invoice job key keyboard kitchen lamp laptop letter library "
    "lunch machine mailbox manager map market meeting message microphone money monitor movie "
    "network newspaper notebook number office operator order package page paper parcel park party "
    "password payment pen phone photo picture plan plane plate printer problem product program "
    "question queue radio receipt recording report reservation restaurant river road room "
    "schedule school screen server service shirt shop signal sister station stop store street "
    "suitcase system table taxi teacher ticket tool train translation umbrella vehicle village "
    "visitor voice wallet watch water weather website window winter"
).split()
_ADJECTIVES = (
    "available big black blue broken busy cheap clean closed cold correct dark delicious difficult "
    "dirty easy empty expensive fast free full good green happy hot important invalid large late "
    "long loud lost missing modern new noisy old open orange perfect pink purple quick quiet ready "
    "red round secure short silent simple slow small strange strong tall temporary unknown urgent "
    "useful valid warm wet white wide wooden wrong yellow young"
).split()
_VERBS = (
    "add answer ask bring build buy call cancel carry change check choose clean close confirm "
    "connect copy count deliver describe disable discuss download enable explain find finish fix "
    "follow forget get give hear help hide hold ignore improve keep leave lift listen lock "
    "look measure mention move need notice open order paint pay pick play press print pull push "
    "read record remember remove rent repair repeat replace return save see sell send "
    "share show sign start stop take test throw translate try update use visit want wash watch "
    "write"
).split()
_PEOPLE = "I we you they".split()
_PLACE_PHRASES = (
    "at home,at work,in the kitchen,near the station,behind the house,on the table,by the door,"
    "in the garden,at the airport,under the bridge,next to the window,in the car,on the train,"
    "across the street,at the office,in front of the bank,on the second floor,outside,upstairs"
).split(",")
_TIME_PHRASES = (
    "today,tomorrow,yesterday,tonight,this morning,this evening,next week,last year,in an hour,"
    "right now,later,before noon,after lunch,at midnight,every day,on the weekend,soon,"
    "in a few minutes,as soon as possible,once a month"
).split(",")


def number(n: int) -> str:
    """English words of 0 <= n < a thousand million, without hyphens."""
    if n < 10:
        return _ONES[n]
    if n < 20:
        return _TEENS[n - 10]
    if n < 100:
        return _TENS[n // 10 - 2] + (f" {_ONES[n % 10]}" if n % 10 else "")
    for size, name in ((1_000_000, "million"), (1000, "thousand"), (100, "hundred")):
        if n >= size:
            rest = n % size
            return f"{number(n // size)} {name}" + (f" {number(rest)}" if rest else "")
    raise AssertionError(n)


def draw(rng: random.Random) -> str:
    """One sentence or phrase; may repeat or be one the caller excludes."""
    kinds: tuple[tuple[Callable[[random.Random], str], int], ...] = (
        (_digits, 6), (_amount, 6), (_time, 5), (_date, 5), (_spelled, 5), (_ordinal, 2),
        (_request, 14), (_question, 14), (_statement, 18), (_phone, 12), (_combination, 8),
    )  # fmt: skip
    makers, weights = zip(*kinds, strict=True)
    return _finish(rng.choices(makers, weights)[0](rng), rng)


def _finish(text: str, rng: random.Random) -> str:
    text = " ".join(text.split())
    if text[-1] in ".?!":
        return text[:1].upper() + text[1:]
    return text[:1].upper() + text[1:] + "." if rng.random() < 0.6 else text


def _any_number(rng: random.Random) -> int:
    return int(10 ** rng.uniform(0, rng.choice((1, 2, 2, 3, 4, 6))))


def _digits(rng: random.Random) -> str:
    said = [rng.choice(_ONES) for _ in range(rng.randint(2, 10))]
    if rng.random() < 0.3:
        said = [d.replace("zero", "oh") if d == "zero" else d for d in said]
    if rng.random() < 0.4 and len(said) > 4:
        said[len(said) // 2 - 1] += ","
    lead = rng.choice(("", "", "", "the number is", "my code is", "room", "call me at", "flight",
                       "the last digits are", "enter", "order number"))  # fmt: skip
    return f"{lead} {' '.join(said)}"


def _amount(rng: random.Random) -> str:
    n = _any_number(rng)
    unit = rng.choice(("", "", "dollars", "euros", "people", "minutes", "hours", "degrees", "miles",
                       "meters", "percent", "messages", "pages", "kilometers", "cents", "bytes",
                       "seconds", "days", "weeks", "pounds", "calls", "cars"))  # fmt: skip
    lead = rng.choice(("", "", "about", "exactly", "more than", "it costs", "there are", "we need",
                       "only", "at least", "fewer than", "you have"))  # fmt: skip
    return f"{lead} {number(n)} {unit}"


def _time(rng: random.Random) -> str:
    hour, minute = rng.randint(1, 12), rng.randint(1, 59)
    half = rng.choice(("", "in the morning", "in the afternoon", "in the evening", "at night"))
    spoken = rng.choice((
        f"{number(hour)} {'oh ' if minute < 10 else ''}{number(minute)}",
        f"{number(hour)} o'clock", f"half past {number(hour)}", f"quarter to {number(hour)}",
        f"{number(rng.randint(2, 29))} minutes past {number(hour)}",
    ))  # fmt: skip
    lead = rng.choice(("", "it's", "at", "we meet at", "the train leaves at", "wake me up at",
                       "the store closes at", "now it is", "see you at"))  # fmt: skip
    return f"{lead} {spoken} {half}"


def _date(rng: random.Random) -> str:
    day = rng.choice([*_ORDINALS, *(f"twenty {o}" for o in _ORDINALS[:9]), "thirtieth"])
    year = rng.choice((f"nineteen {number(rng.randint(10, 99))}",
                       f"twenty {number(rng.randint(10, 40))}"))  # fmt: skip
    month, weekday = rng.choice(_MONTHS), rng.choice(_DAYS)
    return rng.choice((
        f"{weekday}, {month} {day}", f"{month} {day}, {year}", f"the {day} of {month}",
        f"on {weekday} the {day}", f"{weekday} {rng.choice(_TIME_PHRASES)}", f"in {month} {year}",
        f"my birthday is on {month} {day}", f"the meeting is on {weekday}",
    ))  # fmt: skip


def _spelled(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return " ".join(rng.choice(_NATO) for _ in range(rng.randint(2, 6)))
    letters = [rng.choice(_LETTERS) for _ in range(rng.randint(2, 6))]
    joined = ", ".join(letters)
    return rng.choice((joined, joined, f"the code is {joined}", f"{rng.choice(_NAMES)}, {joined}",
                       f"letter {letters[0]}", f"gate {letters[0]} {number(rng.randint(1, 99))}",
                       f"{letters[0]} as in {rng.choice(_NATO)}"))  # fmt: skip


def _ordinal(rng: random.Random) -> str:
    o = rng.choice(_ORDINALS)
    return rng.choice((f"the {o} {rng.choice(_THINGS)}", f"{o} floor", f"in {o} place",
                       f"{o} and {rng.choice(_ORDINALS)}"))  # fmt: skip


def _noun(rng: random.Random) -> str:
    thing = rng.choice(_THINGS)
    head = rng.choice(("the", "the", "my", "your", "our", "this", "that", "their", "another"))
    return f"{head} {rng.choice(_ADJECTIVES)} {thing}" if rng.random() < 0.4 else f"{head} {thing}"


def _where_when(rng: random.Random) -> str:
    return rng.choice(("", "", rng.choice(_PLACE_PHRASES), rng.choice(_TIME_PHRASES)))


def _request(rng: random.Random) -> str:
    lead = rng.choice(("please", "could you", "don't", "let's", "you should", "can you please", "",
                       "I'd like to", "try to", "we have to", "never", "always", "remember to",
                       f"{rng.choice(_NAMES)}, please", "would you mind if we"))  # fmt: skip
    mark = "?" if lead in ("could you", "can you please", "would you mind if we") else "."
    return f"{lead} {rng.choice(_VERBS)} {_noun(rng)} {_where_when(rng)}".rstrip() + mark


def _question(rng: random.Random) -> str:
    return " ".join(rng.choice((
        f"where is {_noun(rng)}", f"why is {_noun(rng)} so {rng.choice(_ADJECTIVES)}",
        f"do {rng.choice(_PEOPLE)} {rng.choice(_VERBS)} {_noun(rng)} {_where_when(rng)}",
        f"when will {rng.choice(_PEOPLE)} {rng.choice(_VERBS)} {_noun(rng)}",
        f"how much is {_noun(rng)}", f"did {rng.choice(_NAMES)} {rng.choice(_VERBS)} {_noun(rng)}",
        f"have you been to {rng.choice(_PLACES)}", f"who wants to {rng.choice(_VERBS)} {_noun(rng)}",
        f"is {_noun(rng)} {rng.choice(_ADJECTIVES)}", f"what happened to {_noun(rng)}",
        f"are you going to {rng.choice(_PLACES)} {rng.choice(_TIME_PHRASES)}",
    )).split()) + "?"  # fmt: skip


def _statement(rng: random.Random) -> str:
    who = rng.choice([*_PEOPLE])
    return " ".join(rng.choice((
        f"{_noun(rng)} is {rng.choice(_ADJECTIVES)} {_where_when(rng)}",
        f"{who} want to {rng.choice(_VERBS)} {_noun(rng)} {_where_when(rng)}",
        f"{rng.choice(_NAMES)} will {rng.choice(_VERBS)} {_noun(rng)} {_where_when(rng)}",
        f"{who} can't {rng.choice(_VERBS)} {_noun(rng)} without {_noun(rng)}",
        f"{rng.choice(_NAMES)} lives in {rng.choice(_PLACES)}",
        f"{rng.choice(_NAMES)} and {rng.choice(_NAMES)} {rng.choice(_VERBS)} {_noun(rng)}",
        f"{_noun(rng)} was {rng.choice(_PLACE_PHRASES)} {rng.choice(_TIME_PHRASES)}",
        f"I think {_noun(rng)} is too {rng.choice(_ADJECTIVES)}, but {who} {rng.choice(_VERBS)} it",
        f"if {who} {rng.choice(_VERBS)} {_noun(rng)}, {_noun(rng)} will be {rng.choice(_ADJECTIVES)}",
        f"{_noun(rng)} and {_noun(rng)} are {rng.choice(_ADJECTIVES)}",
        f"there's a {rng.choice(_ADJECTIVES)} {rng.choice(_THINGS)} {rng.choice(_PLACE_PHRASES)}",
    )).split()) + rng.choice((".", ".", "!"))  # fmt: skip


def _phone(rng: random.Random) -> str:
    n = number(rng.randint(1, 99))
    return rng.choice((
        f"hello, this is {rng.choice(_NAMES)} from {rng.choice(_PLACES)}.",
        f"good {rng.choice(('morning', 'afternoon', 'evening'))}, {rng.choice(_NAMES)} speaking.",
        f"your {rng.choice(_THINGS)} will arrive {rng.choice(_TIME_PHRASES)}.",
        f"I'm calling about {_noun(rng)}.", f"sorry, {_noun(rng)} isn't {rng.choice(_ADJECTIVES)}.",
        f"thanks, {rng.choice(_NAMES)}, talk to you {rng.choice(_TIME_PHRASES)}.",
        f"your {rng.choice(_THINGS)} has been {rng.choice(('updated', 'canceled', 'received', 'sent', 'moved', 'accepted', 'rejected', 'disabled', 'stored'))}.",
        f"may I speak with {rng.choice(_NAMES)}?", f"we are sorry, but {_noun(rng)} is {rng.choice(_ADJECTIVES)}.",
        f"type {n} and then choose {_noun(rng)}.", f"say yes to {rng.choice(_VERBS)} {_noun(rng)}.",
        f"you are caller {n}, someone will {rng.choice(_VERBS)} {_noun(rng)} {rng.choice(_TIME_PHRASES)}.",
        f"the {rng.choice(_THINGS)} service is {rng.choice(_ADJECTIVES)} {rng.choice(_TIME_PHRASES)}.",
        f"leave {_noun(rng)} with {rng.choice(_NAMES)} and wait {rng.choice(_PLACE_PHRASES)}.",
    ))  # fmt: skip


def _combination(rng: random.Random) -> str:
    """Two to four unrelated words: their sound alone has to carry them."""
    pools = (_THINGS, _ADJECTIVES, _VERBS, _NAMES, _PLACES, _DAYS, _ONES, _NATO)
    return " ".join(rng.choice(rng.choice(pools)) for _ in range(rng.randint(2, 4)))
