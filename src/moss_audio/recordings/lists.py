"""The one reader of lists that name recordings, in any of their formats.

| list | is |
|---|---|
| `.csv`, `.tsv`, `.tab` | a table with a header; `.tsv` and `.tab` by tabs, without quoting |
| `.jsonl`, `.json` | an object a line, or a list of objects |
| `wav.scp` (`.scp`) | Kaldi's recordings alone |
| a folder with `wav.scp` | Kaldi's data folder |
| `.jsonl.gz`, or a folder with `cuts*.jsonl*` | Lhotse's cuts, Shar |
| `.tar` | WebDataset and other tars of recordings |

`entry` has the rules that hold for all of them. The rows of `parquet` are had by their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from moss_audio.errors import MossAudioError
from moss_audio.recordings.entry import AUDIO_NAMES, Entry, Unread, entry_of
from moss_audio.recordings.kaldi import read_kaldi, read_scp
from moss_audio.recordings.shar import holds_shar, read_shar
from moss_audio.recordings.tables import TAB_SUFFIXES, read_records
from moss_audio.recordings.tars import TAR_SUFFIXES, read_tar

_TABLES = (".csv", *TAB_SUFFIXES)
LIST_SUFFIXES = (*_TABLES, ".jsonl", ".json", ".scp")


def read_list(
    path: Path | str, columns: Mapping[str, str] | None = None
) -> Iterator[Entry | Unread]:
    """The recordings of a list in order, and in their places the lines that cannot be used.

    Args:
        path: see above.
        columns: part (`audio`, `text`, `id`) -> the name that it goes by in a table.

    Raises:
        MossAudioError: no such list, or none at all: not text, a table without the columns.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if path.name.lower().endswith(".jsonl.gz") or holds_shar(path):
        yield from read_shar(path)
    elif path.is_dir():
        yield from read_kaldi(path)
    elif suffix == ".scp":
        yield from read_scp(path)
    elif suffix in TAR_SUFFIXES:
        yield from read_tar(str(path))
    elif suffix in LIST_SUFFIXES:
        yield from _records(path, suffix in _TABLES, columns or {})
    else:
        raise MossAudioError(
            f"{path}: no list of recordings: {', '.join((*LIST_SUFFIXES, '.tar'))} are read"
        )


def _records(path: Path, table: bool, columns: Mapping[str, str]) -> Iterator[Entry | Unread]:
    checked, folder = False, str(path.parent)
    for record in read_records(path):
        if isinstance(record, Unread):
            yield record
            continue
        if table and not checked:
            _check_header(path, list(record.fields), columns)
            checked = True
        try:
            entry = entry_of(record.fields, record.where, folder, columns)
        except MossAudioError as error:
            yield Unread(record.where, str(error))
            continue
        if table:  # a cell that is empty is missing
            given = {k: v for k, v in record.fields.items() if k and v}
            entry = Entry(entry.clip, entry.where, entry.id, entry.text, given, entry.named_by)
        yield entry


def _check_header(path: Path, header: list[str], columns: Mapping[str, str]) -> None:
    named = (columns[part] for part in ("audio", "text") if part in columns)
    missing = [name for name in named if name not in header]
    if "audio" not in columns and not any(name in header for name in AUDIO_NAMES):
        missing.insert(0, "audio")
    if missing:
        raise MossAudioError(
            f"{path}: no column {missing[0]!r}; its columns are {', '.join(header)}"
        )
