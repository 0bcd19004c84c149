"""Sentences in four languages at once. A part is (English, German, French, Spanish) throughout."""

from __future__ import annotations

import random
from dataclasses import dataclass

LANGUAGES = ("en", "de", "fr", "es")
Part = tuple[str, str, str, str]

_DAYS: tuple[Part, ...] = (
    ("Monday", "Montag", "lundi", "lunes"),
    ("Tuesday", "Dienstag", "mardi", "martes"),
    ("Wednesday", "Mittwoch", "mercredi", "miércoles"),
    ("Thursday", "Donnerstag", "jeudi", "jueves"),
    ("Friday", "Freitag", "vendredi", "viernes"),
    ("Saturday", "Samstag", "samedi", "sábado"),
    ("Sunday", "Sonntag", "dimanche", "domingo"),
)
_NUMBERS: tuple[Part, ...] = (  # from two on: one bends with what is counted
    ("two", "zwei", "deux", "dos"),
    ("three", "drei", "trois", "tres"),
    ("four", "vier", "quatre", "cuatro"),
    ("five", "fünf", "cinq", "cinco"),
    ("six", "sechs", "six", "seis"),
    ("seven", "sieben", "sept", "siete"),
    ("eight", "acht", "huit", "ocho"),
    ("nine", "neun", "neuf", "nueve"),
    ("ten", "zehn", "dix", "diez"),
    ("eleven", "elf", "onze", "once"),
    ("twelve", "zwölf", "douze", "doce"),
)
_CITIES: tuple[Part, ...] = (
    ("Berlin", "Berlin", "Berlin", "Berlín"),
    ("Paris", "Paris", "Paris", "París"),
    ("Madrid", "Madrid", "Madrid", "Madrid"),
    ("Vienna", "Wien", "Vienne", "Viena"),
    ("Geneva", "Genf", "Genève", "Ginebra"),
    ("Lisbon", "Lissabon", "Lisbonne", "Lisboa"),
    ("London", "London", "Londres", "Londres"),
    ("Brussels", "Brüssel", "Bruxelles", "Bruselas"),
)
_NAMES = ("Anna", "David", "Laura", "Martin", "Nina", "Oscar", "Paul", "Sophie", "Thomas", "Victor")
_RIDES: tuple[Part, ...] = (
    ("The train", "Der Zug", "Le train", "El tren"),
    ("The bus", "Der Bus", "Le bus", "El autobús"),
    ("The ship", "Das Schiff", "Le bateau", "El barco"),
    ("My brother", "Mein Bruder", "Mon frère", "Mi hermano"),
    ("My sister", "Meine Schwester", "Ma sœur", "Mi hermana"),
)
_PLACES: tuple[Part, ...] = (
    ("the station", "der Bahnhof", "la gare", "la estación"),
    ("the hospital", "das Krankenhaus", "l'hôpital", "el hospital"),
    ("the kitchen", "die Küche", "la cuisine", "la cocina"),
    ("the bank", "die Bank", "la banque", "el banco"),
    ("the church", "die Kirche", "l'église", "la iglesia"),
    ("the beach", "der Strand", "la plage", "la playa"),
    ("my key", "mein Schlüssel", "ma clé", "mi llave"),
    ("my phone", "mein Telefon", "mon téléphone", "mi teléfono"),
    ("the doctor", "der Arzt", "le médecin", "el médico"),
)
_THINGS: tuple[Part, ...] = (  # more than one of them
    ("tickets", "Fahrkarten", "billets", "billetes"),
    ("books", "Bücher", "livres", "libros"),
    ("chairs", "Stühle", "chaises", "sillas"),
    ("eggs", "Eier", "œufs", "huevos"),
    ("glasses", "Gläser", "verres", "vasos"),
    ("keys", "Schlüssel", "clés", "llaves"),
    ("letters", "Briefe", "lettres", "cartas"),
)
_PATTERNS: tuple[Part, ...] = (
    (
        "{ride} leaves on {day} at {number} o'clock.",
        "{ride} fährt am {day} um {number} Uhr ab.",
        "{ride} part {day} à {number} heures.",
        "{ride} sale el {day} a las {number}.",
    ),
    ("{ride} is in {city}.", "{ride} ist in {city}.", "{ride} est à {city}.",
     "{ride} está en {city}."),
    ("Where is {place}?", "Wo ist {place}?", "Où est {place} ?", "¿Dónde está {place}?"),
    ("I need {number} {thing}.", "Ich brauche {number} {thing}.",
     "J'ai besoin de {number} {thing}.", "Necesito {number} {thing}."),
    ("She is buying {number} {thing} in {city}.", "Sie kauft {number} {thing} in {city}.",
     "Elle achète {number} {thing} à {city}.", "Ella compra {number} {thing} en {city}."),
    ("My name is {name}.", "Mein Name ist {name}.", "Je m'appelle {name}.", "Me llamo {name}."),
    ("We are meeting on {day} in {city}.", "Wir treffen uns am {day} in {city}.",
     "Nous nous retrouvons {day} à {city}.", "Nos vemos el {day} en {city}."),
    ("Today is {day}.", "Heute ist {day}.", "Aujourd'hui, c'est {day}.", "Hoy es {day}."),
    ("The number is {number}, {second}, {third}.", "Die Nummer ist {number}, {second}, {third}.",
     "Le numéro est {number}, {second}, {third}.", "El número es {number}, {second}, {third}."),
    ("Thank you, see you on {day}.", "Danke, bis {day}.", "Merci, à {day}.",
     "Gracias, hasta el {day}."),
    ("{name} lives in {city}.", "{name} wohnt in {city}.", "{name} habite à {city}.",
     "{name} vive en {city}."),
    ("{name} is coming on {day} at {number} o'clock.", "{name} kommt am {day} um {number} Uhr.",
     "{name} vient {day} à {number} heures.", "{name} viene el {day} a las {number}."),
)  # fmt: skip


@dataclass(frozen=True)
class Phrase:
    """One sentence in `LANGUAGES`."""

    texts: Part

    @property
    def english(self) -> str:
        return self.texts[0]

    def within(self, language: str) -> str:
        """The sentence in a language."""
        return self.texts[LANGUAGES.index(language)]


def phrase(rng: random.Random) -> Phrase:
    """A sentence drawn from the parts."""
    name = rng.choice(_NAMES)
    slots: dict[str, Part] = {
        "ride": rng.choice(_RIDES),
        "day": rng.choice(_DAYS),
        "number": rng.choice(_NUMBERS),
        "second": rng.choice(_NUMBERS),
        "third": rng.choice(_NUMBERS),
        "city": rng.choice(_CITIES),
        "place": rng.choice(_PLACES),
        "thing": rng.choice(_THINGS),
        "name": (name,) * 4,
    }
    patterns = rng.choice(_PATTERNS)
    en, de, fr, es = (
        pattern.format(**{slot: parts[index] for slot, parts in slots.items()})
        for index, pattern in enumerate(patterns)
    )
    return Phrase((en, de, fr, es))
