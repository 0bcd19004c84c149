"""Rows of Parquet files, and of the folders of Arrow files that `save_to_disk` writes.

Both are read through pyarrow: a saved folder's Arrow files are mapped into memory, of Parquet the
row groups in use are held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from moss_audio.errors import MissingDependencyError, MossAudioError
from moss_audio.recordings.folders import files_below


class ArrowRows:
    """The rows of a Parquet file, of a folder of such, or of a saved dataset.

    Args:
        path: the file or folder.
        split: which one, where there are several.
        extra: the package's extra that brings pyarrow, for the message where it is missing.

    Attributes:
        names: the columns.
        starts: int64 [blocks + 1], the first row of each block of rows that are read together.

    Raises:
        MossAudioError: nothing of the kind at `path`, or several splits and none is chosen;
            MissingDependencyError without pyarrow.
    """

    def __init__(self, path: Path, split: str | None = None, extra: str = "data") -> None:
        pa = _pyarrow(path, extra)
        self.path = path
        try:
            self._blocks = self._find(split)
            self.names = self._blocks[0].names()
        except (pa.ArrowException, OSError) as error:
            raise MossAudioError(f"{path}: cannot be read as Parquet or Arrow: {error}") from None
        self.starts = np.cumsum([0] + [block.rows for block in self._blocks])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """All rows in order, with these columns."""
        for block in self._blocks:
            table = block.table(tuple(columns), keep=False) if columns else None
            yield from [{}] * block.rows if table is None else table.to_pylist()

    def row(self, number: int, columns: Sequence[str]) -> dict[str, Any]:
        """One row, with these columns."""
        at = int(np.searchsorted(self.starts, number, side="right")) - 1
        table = self._blocks[at].table(tuple(columns), keep=True)
        return dict(table.slice(number - int(self.starts[at]), 1).to_pylist()[0])

    def _find(self, split: str | None) -> list[_Block]:
        path = folder = self.path
        if (path / "dataset_dict.json").is_file() or (split and (path / split).is_dir()):
            if split is None:
                names = sorted(p.name for p in path.iterdir() if p.is_dir())
                raise MossAudioError(
                    f"{path}: holds the splits {', '.join(names)}: choose a 'split'"
                )
            folder, split = path / split, None
        arrow = sorted(folder.glob("*.arrow")) if folder.is_dir() and not split else []
        if arrow:
            return [_Block(file, None, _arrow(file).num_rows) for file in arrow]
        found = files_below(folder, (".parquet",)) if folder.is_dir() else [str(folder)]
        files = sorted(Path(file) for file in found if isinstance(file, str))
        if split:
            files = [file for file in files if _split_of(file) == split]
        elif len({_split_of(file) for file in files}) > 1:
            raise MossAudioError(f"{path}: several splits of Parquet files: choose a 'split'")
        blocks = [
            _Block(file, group, _parquet(file).metadata.row_group(group).num_rows)
            for file in files
            for group in range(_parquet(file).metadata.num_row_groups)
        ]
        if not blocks:
            of_split = f" for the split {split!r}" if split else ""
            raise MossAudioError(f"{path}: no .arrow and no .parquet file in it{of_split}")
        return blocks


class _Block(NamedTuple):
    """Rows that are read together: a whole mapped Arrow file, or a row group of Parquet."""

    path: Path
    group: int | None
    rows: int

    def names(self) -> list[str]:
        if self.group is None:
            return list(_arrow(self.path).column_names)
        return list(_parquet(self.path).schema_arrow.names)

    def table(self, columns: tuple[str, ...], keep: bool) -> Any:
        """Its rows, with these columns; `keep` what was read of Parquet for the next time."""
        if self.group is None:
            return _arrow(self.path).select(columns)
        read = _row_group if keep else _row_group.__wrapped__
        return read(self.path, self.group, columns)


def _split_of(file: Path) -> str:
    return file.name.split("-")[0].split(".")[0]


def _pyarrow(path: Path, extra: str) -> Any:
    try:
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise MissingDependencyError("pyarrow", extra, f"reading {path.name}") from None
    return pyarrow


@lru_cache(maxsize=256)
def _arrow(path: Path) -> Any:
    import pyarrow as pa

    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()


@lru_cache(maxsize=64)
def _parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path)


@lru_cache(maxsize=4)
def _row_group(path: Path, group: int, columns: tuple[str, ...]) -> Any:
    return _parquet(path).read_row_group(group, columns=columns)
