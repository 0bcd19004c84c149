"""What the bytes of a file prove, where FFmpeg keeps silent or guesses.

Private to the audio loader.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from moss_audio.recordings.reader import ByteReader

_MATROSKA, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_OGG_PAGE_BYTES = 65_536  # a page is shorter than this
_UNKNOWN_SIZE = 0x7FFF0000  # from here on, the size in a RIFF header is a streaming placeholder


@dataclass(frozen=True)
class FileProof:
    """What is read from the bytes of a file, whatever it is.

    Attributes:
        size: in bytes.
        cut: how it shows that the end of a WAV, Ogg or Matroska file is missing; None if not.
        is_chained: Ogg files were joined, so the clock starts again.
        mp3_states_frames: an MP3's header gives its number of frames.
    """

    size: int
    cut: str | None
    is_chained: bool
    mp3_states_frames: bool

    @classmethod
    def of(cls, reader: ByteReader) -> FileProof:
        """Read them; the reader is left anywhere."""
        return cls(
            reader.size(),
            _proof_of_cut(reader),
            _ogg_is_chained(reader),
            _mp3_states_frames(reader),
        )


def _proof_of_cut(reader: ByteReader) -> str | None:
    missing_s = _wav_missing_s(reader)
    if missing_s is not None:
        return f"its header declares {missing_s:.2f} s more"
    if _ogg_is_unended(reader):
        return "its end-of-stream mark is missing"
    missing = _matroska_missing(reader)
    return None if not missing else f"its header declares {missing} more bytes"


def _wav_missing_s(reader: ByteReader) -> float | None:
    """Seconds that a RIFF or RF64 WAV's header declares but the file lacks. None when complete,
    when the size is a streaming placeholder, or when it is no WAV."""
    size = reader.size()
    head = reader.read(12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
        return None
    bytes_per_s = long_length = 0
    for _ in range(64):
        tag = reader.read(8)
        if len(tag) < 8:
            return None
        length = int.from_bytes(tag[4:], "little")
        if tag[:4] == b"data":
            length = long_length or length
            missing = length - (size - reader.tell())
            if not bytes_per_s or missing <= 0 or (length >= _UNKNOWN_SIZE and not long_length):
                return None
            return missing / bytes_per_s
        after = reader.tell() + length + length % 2
        if tag[:4] == b"fmt ":
            bytes_per_s = int.from_bytes(reader.read(12)[8:12], "little")
        elif tag[:4] == b"ds64" and head[:4] != b"RIFF":  # sizes beyond 4 GiB
            long_length = int.from_bytes(reader.read(16)[8:16], "little")
        reader.seek(after)
    return None


def _ogg_is_unended(reader: ByteReader) -> bool:
    """Whether this is Ogg whose last page lacks the end-of-stream mark, or is itself partial."""
    page = _last_ogg_page(reader)
    if page is None:
        return False
    if len(page) < 27:
        return True
    lengths = page[27 : 27 + page[26]]
    return not page[5] & 4 or len(page) < 27 + page[26] + sum(lengths)


def _ogg_is_chained(reader: ByteReader) -> bool:
    """Whether the last page of an Ogg file belongs to no stream that the file begins with."""
    page = _last_ogg_page(reader)
    if page is None:
        return False
    reader.seek(0)
    pages = reader.read(_OGG_PAGE_BYTES).split(b"OggS")[1:]
    first = itertools.takewhile(lambda one: one[1:2] and one[1] & 2, pages)  # those that begin one
    return page[14:18] not in {one[10:14] for one in first}


def _last_ogg_page(reader: ByteReader) -> bytes | None:
    """The bytes from the last page's beginning on, none if there is no page near the end; None
    if this is not Ogg."""
    size = reader.size()
    if reader.read(4) != b"OggS":
        return None
    reader.seek(max(0, size - _OGG_PAGE_BYTES))
    tail = reader.read(_OGG_PAGE_BYTES)
    return tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""


def _matroska_missing(reader: ByteReader) -> int:
    """Bytes by which a Matroska or WebM file ends before its segment does; 0 for a live one,
    whose size is not stated."""
    size = reader.size()
    if reader.read(4) != _MATROSKA:
        return 0
    header = _ebml_size(reader)
    if header is None:
        return 0
    reader.seek(reader.tell() + header)
    if reader.read(4) != _SEGMENT:
        return 0
    segment = _ebml_size(reader)
    return 0 if segment is None else max(0, reader.tell() + segment - size)


def _ebml_size(reader: ByteReader) -> int | None:
    """An element's size; None if it is unknown or cannot be read."""
    first = reader.read(1)
    if not first or not first[0]:
        return None
    n_more = 8 - first[0].bit_length()
    value = int.from_bytes(first + reader.read(n_more), "big") & ((1 << 7 * (n_more + 1)) - 1)
    return None if value == (1 << 7 * (n_more + 1)) - 1 else value


def _mp3_states_frames(reader: ByteReader) -> bool:
    """Whether a Xing, Info or VBRI header gives the number of frames; otherwise FFmpeg's duration
    is a guess from the first bit rate, wrong for variable ones."""
    reader.seek(0)
    head = reader.read(10)
    if head[:3] == b"ID3" and len(head) == 10:  # four 7-bit bytes of size, which may hold a cover
        tag_bytes = sum((head[9 - i] & 0x7F) << (7 * i) for i in range(4))
        reader.seek(10 + tag_bytes)
        head = b""
    head += reader.read(2_048)
    for mark in (b"Xing", b"Info"):
        at = head.find(mark)
        if at >= 0 and len(head) >= at + 8:
            return bool(head[at + 7] & 1)  # the first flag: a number of frames follows
    return b"VBRI" in head
