# ruff: noqa: SIM905  (word lists read best as running text)
"""Names of sounds by family: which are near in kind, which words mean the same.

For the grounding check (a name from here that the evidence does not hold is invented) and for
distractors of multiple-choice questions (near in kind). Our own selection, far from complete: a
sound that no word here names can only be recognised as invented by its form ("... is heard").
"""

from __future__ import annotations

from collections.abc import Mapping

# Family -> names of its sounds. No two names of a family can be true of one sound.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "animal": (
        "dog barking", "cat meowing", "cow mooing", "horse neighing", "sheep bleating",
        "pig oinking", "rooster crowing", "duck quacking", "frog croaking", "crow cawing",
        "birds chirping", "owl hooting", "crickets", "bees buzzing", "lion roaring",
        "wolf howling", "goose honking", "pigeon cooing", "donkey braying", "snake hissing",
        "mosquito", "cicadas", "turkey gobbling", "seagull",
    ),
    "human": (
        "laughter", "crying", "coughing", "sneezing", "snoring", "applause", "cheering",
        "footsteps", "whistle", "burp", "finger snap", "breathing", "sighing", "screaming",
        "heartbeat", "gargling", "hiccup", "clapping", "sobbing", "yawning", "giggling",
    ),
    "vehicle": (
        "car horn", "engine", "motorcycle", "train", "helicopter", "airplane", "truck",
        "bicycle bell", "bus", "boat", "tram", "reversing beeps", "ambulance", "skateboard",
        "tractor", "scooter",
    ),
    "alarm": (
        "siren", "alarm", "smoke detector", "phone ringing", "doorbell", "buzzer", "fire bell",
        "alarm clock", "foghorn", "referee whistle", "ringback tone", "busy tone", "dial tone",
    ),
    "weather": (
        "rain", "thunder", "wind", "hail", "ocean waves", "waterfall", "stream", "water dripping",
        "fire crackling", "avalanche", "water splashing",
    ),
    "household": (
        "door closing", "knocking", "clock ticking", "vacuum cleaner", "typing", "paper rustling",
        "glass breaking", "toilet flushing", "kettle", "dishes clattering", "camera shutter",
        "cash register", "blender", "hair dryer", "door creaking", "zipper", "microwave",
        "keys jangling", "coins", "scissors", "washing machine",
    ),
    "tool": (
        "hammering", "sawing", "drilling", "chainsaw", "lawn mower", "sanding", "jackhammer",
        "sewing machine", "machine noise", "sawmill", "air compressor", "nail gun",
    ),
    "impact": (
        "gunshot", "explosion", "fireworks", "boom", "crash", "thud", "slap", "whip", "bang",
        "whoosh", "rockfall",
    ),
    "instrument": (
        "bell", "gong", "cymbal", "snare drum", "bass drum", "tom drum", "drum roll", "cowbell",
        "triangle", "chime", "tabla", "tambourine", "electric guitar", "piano note", "bass note",
        "choir", "drum loop", "harmonica", "bagpipes", "accordion", "trumpet", "violin", "flute",
        "cello", "harp", "saxophone", "clarinet", "trombone", "ukulele", "organ", "banjo",
        "xylophone", "marimba", "oboe", "music box", "maracas",
    ),
    "signal": (
        "beep", "double beep", "blip", "morse code", "keypad tones", "static", "hum", "laser",
        "rising tone", "falling tone", "notification", "clicking", "vinyl scratch",
        "vinyl crackle", "modem", "sonar ping", "sine wave", "dial-up tone",
    ),
}  # fmt: skip

# Words of one line may stand for each other.
SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("dog", "puppy", "hound"), ("bark", "woof", "yap"), ("cat", "kitten"), ("meow", "mew"),
    ("bird", "songbird"), ("chirp", "tweet", "twitter", "sing", "birdsong"), ("caw", "croak"),
    ("phone", "telephone", "cellphone"), ("ring", "ringtone", "ringing"),
    ("rain", "rainfall", "raindrops", "downpour", "shower"), ("wind", "breeze", "gust"),
    ("thunder", "thunderclap", "thunderstorm"), ("engine", "motor"), ("car", "automobile"),
    ("horn", "honk", "honking"), ("door", "gate"), ("close", "shut", "slam"),
    ("knock", "rap", "tap"), ("footsteps", "footfalls", "steps", "walking"),
    ("applause", "clapping", "clap", "applaud"), ("laughter", "laugh", "laughing", "chuckle"),
    ("siren", "sirens"), ("gunshot", "shot", "gunfire"), ("explosion", "blast", "explode"),
    ("beep", "bleep"), ("click", "clicks"), ("type", "typing", "keyboard", "keystrokes"),
    ("clock", "watch"), ("tick", "ticking", "tick-tock"), ("water", "liquid"),
    ("drip", "dripping", "drops"), ("wave", "surf"), ("ocean", "sea"), ("fire", "flames"),
    ("crackle", "crackling"), ("saw", "sawing"), ("machine", "machinery"), ("hum", "drone"),
    ("whistle", "whistling"), ("cough", "coughing"), ("cry", "weep", "sob"),
    ("helicopter", "chopper"), ("drum", "drums", "drumming"), ("bell", "bells", "chime"),
    ("static", "hiss"), ("cricket", "crickets"), ("rustle", "rustling"), ("whoosh", "swoosh"),
    ("burp", "belch"), ("snap", "snapping"), ("boom", "rumble"), ("strings", "string"),
    ("scratch", "scratching"),
)  # fmt: skip

# What any sound of a family may be called.
GENERIC: Mapping[str, tuple[str, ...]] = {
    "animal": ("animal", "bird", "insect", "creature"),
    "human": ("human sound",),
    "vehicle": ("vehicle", "traffic", "siren"),
    "alarm": ("alarm", "signal", "warning", "bell"),
    "weather": ("weather", "nature", "storm", "water"),
    "household": (),
    "tool": ("tool", "machine", "machinery"),
    "impact": ("impact", "blast", "bang"),
    "instrument": ("instrument", "percussion", "drum"),
    "signal": ("signal", "tone", "beep"),
}
# Words of the names above that also mean something else, so that alone they name no sound.
AMBIGUOUS = frozenset(
    "tone tones note clean cleaner machine noise double rising falling rise fall electric air box"
    " closing close break breaking cash register code data loop roll rock nail key keys human sound"
    " bass detector compressor camera register water paper sing singing ping up dial referee ring"
    " ringing reversing notification smoke hair nature turkey signal warning watch shower liquid"
    " drop drops type saw shot steps step tap rap sea bird string drone rumble walking honk drum"
    " clock glass boat train coins organ scratch sine wave waves fire ocean vinyl stream static"
    " triangle chime hum whip crash laser boom impact busy washing finger tom lawn".split()
)
