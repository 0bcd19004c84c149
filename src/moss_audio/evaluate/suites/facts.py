"""What a caption names of what is there, and what it invents.

For composed scenes everything is known and `moss_audio.metrics.caption` decides: sounds, order,
times, counts, words, music. For lists of a user's own, facts are texts, `a|b` where either will
do; only what some item of the list holds can be recognised, and so be found to be invented.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from moss_audio.evaluate.plan import Measure, Outcome, Share
from moss_audio.metrics.caption import FactOutcome, Kind
from moss_audio.metrics.mentions import find_mentions, label_key
from moss_audio.result import Caption
from moss_audio.scenes.reader import Scene
from moss_audio.tasks.caption import Describe

NAMED, INVENTED = "facts named", "facts invented"


def scene_measures() -> tuple[Measure, ...]:
    """All kinds of facts together, and the sounds alone."""
    return (
        Measure(NAMED, _scene("named", "missed"), grouped=True, bar=70, aim=90),
        Measure(INVENTED, _scene("invented", "named"), better="lower", grouped=True, bar=10, aim=3),
        Measure("sounds named", _scene("named", "missed", "label")),
        Measure("sounds invented", _scene("invented", "named", "label"), better="lower"),
    )


def _scene(
    counted: FactOutcome, beside: FactOutcome, kind: Kind | None = None
) -> Callable[[Outcome], Share | None]:
    """Facts that came out as `counted`, of these and those `beside` them."""

    def share(outcome: Outcome) -> Share | None:
        sound = outcome.item.audio[0]
        if not isinstance(outcome.result, Caption) or not isinstance(sound, Scene):
            return None
        known = outcome.item.choices
        found = Describe().score(outcome.result, sound, vocabulary=known).counts["facts"]
        count = found.count(counted, kind)
        return count, count + found.count(beside, kind)

    return share


def list_measures() -> tuple[Measure, ...]:
    """Facts named of those that are there; facts invented of those that are named."""
    return (
        Measure(NAMED, _named, grouped=True),
        Measure(INVENTED, _invented, better="lower", grouped=True),
    )


def named(caption: str, facts: Sequence[str]) -> frozenset[str]:
    """The facts that a caption names, and does not deny. A phrase that fits several of them names
    each: only the words are there to tell."""
    forms = {fact: [form.strip() for form in fact.split("|") if form.strip()] for fact in facts}
    labels = {fact: of[0] for fact, of in forms.items() if of}
    synonyms: dict[str, list[str]] = {}
    for fact, label in labels.items():
        synonyms.setdefault(label, []).extend(forms[fact][1:])
    found = {
        key
        for mention in find_mentions(caption, list(synonyms), synonyms)
        if not mention.negated
        for key in mention.labels
    }
    return frozenset(fact for fact, label in labels.items() if label_key(label) in found)


def _found(outcome: Outcome) -> frozenset[str] | None:
    if not isinstance(outcome.result, Caption):
        return None
    return named(outcome.result.text, (*outcome.item.facts, *outcome.item.choices))


def _named(outcome: Outcome) -> Share | None:
    found, facts = _found(outcome), outcome.item.facts
    return None if found is None or not facts else (len(found & set(facts)), len(facts))


def _invented(outcome: Outcome) -> Share | None:
    found = _found(outcome)
    return None if not found else (len(found - set(outcome.item.facts)), len(found))
