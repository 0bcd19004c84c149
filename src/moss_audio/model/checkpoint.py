"""Checkpoint folders: where they are, and what their files say. No weight is read here.

"nano", a folder or a hub id become a folder in `Checkpoint.open`, and nowhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from moss_audio.errors import (
    CheckpointError,
    MissingDependencyError,
    require,
    short_reason,
)
from moss_audio.files import MODEL_SUFFIXES, folder_hash
from moss_audio.model.known_speech import KNOWS, KnownSpeech
from moss_audio.model.prompt_settings import prompt_spec
from moss_audio.model.sizes import AUDIO_IDS, MODEL_TYPE, ModelSizes
from moss_audio.prompt import PromptSpec
from moss_audio.text import THINK_CLOSE, THINK_OPEN

if TYPE_CHECKING:
    from moss_audio.model.config import MossAudioConfig

EMBEDDED = "nano"
THINKING = "nano-thinking"  # the embedded one's, which is based on it
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PARTS_FILE = "parts.json"
TASK_WINDOWS = "task_windows_s"
PROCESSOR_FILE = "processor_config.json"
EXPORTED = "exported"  # the key of config.json that tells what an exported folder holds
_CONFIG_FILE, _GENERATION_FILE = "config.json", "generation_config.json"
# A chat template whose generation prompt opens the think block, as Qwen3's Thinking models do.
_OPENS_THINKING = re.compile(r"assistant\\n<think>\\n(?!\\n</think>)")

T = TypeVar("T")
State = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Parts:
    """What `parts.json` of an embedded checkpoint says.

    Attributes:
        fixed: files of the parts that never change.
        trained: the file of everything that training replaces.
        base: another embedded checkpoint, whose parts are this one's but for what `trained` has in
            their place: "nano", or a path from this folder on. There are no `fixed` parts then.
        window_s: the longest clip in seconds that the checkpoint was trained on.
        task_windows_s: the same for tasks, by name, for which it is another.
        times: how its word times are best found (`Checkpoint.times`).
        knows: the speech that it knows (`Checkpoint.knows`).
    """

    fixed: tuple[str, ...]
    trained: str
    window_s: float = 15.0
    task_windows_s: Mapping[str, float] = field(default_factory=dict)
    times: str = "written"
    base: str | None = None
    knows: KnownSpeech | None = None


@dataclass(frozen=True)
class PartFiles:
    """The files that an embedded checkpoint's parts are in: `fixed` ones, and `trained` ones, of
    which a later one has a tensor in the place of an earlier one's. `folders`: its own, and those
    that it is based on."""

    fixed: tuple[Path, ...]
    trained: tuple[Path, ...]
    folders: tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint's folder and what its files say, read once when it is opened.

    Attributes:
        name: as it was asked for.
        folder: where its files are.
        values, processor: what config.json and processor_config.json say, as it stands there.
        sizes: the same, checked.
        parts: of an embedded checkpoint; None in the released layout.
        window_s: the longest clip in seconds that it handles well; None where nobody says.
        task_windows_s: the same for tasks, by name, for which it is another.
        knows: the only language whose speech it writes down; None where nobody says.
        thinks: whether it opens its answers with a think block unless told not to.
        revision: the commit of a hub id; None for a local folder.
    """

    name: str
    folder: Path
    values: Mapping[str, Any]
    processor: Mapping[str, Any]
    sizes: ModelSizes
    parts: Parts | None
    window_s: float | None
    task_windows_s: Mapping[str, float]
    knows: KnownSpeech | None
    thinks: bool
    revision: str | None
    _state: State

    @classmethod
    def open(
        cls,
        source: str | Path | Checkpoint,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
    ) -> Checkpoint:
        """Find a checkpoint and read what describes it.

        Args:
            source: "nano" (the embedded one) or "nano-thinking", a folder, or a hub id
                "owner/name", which is downloaded where it is not in the cache. A folder called
                nano is `./nano`, or a `Path`, which is always a folder. A checkpoint that is open
                already is returned.
            revision, cache_dir, token, local_files_only: of a hub id, as in huggingface_hub.

        Raises:
            CheckpointError: one line, if there is none, it cannot be downloaded, or one of the
                files that describe it is missing or damaged.
        """
        if isinstance(source, Checkpoint):
            return source
        local = find_local(source)
        folder = local or _download(str(source), revision, cache_dir, token, local_files_only)
        state = _state(folder)  # before anything is read
        parts = read_parts(folder) if is_embedded(folder) else None
        if parts is not None and parts.base is not None:
            state = _states(part_files(folder).folders)
        processor = _read_json(folder / PROCESSOR_FILE)
        values = _read_config(folder)
        return cls(
            name=str(source),
            folder=folder,
            values=values,
            processor=processor,
            sizes=_sizes(folder, values),
            parts=parts,
            window_s=(
                _window_s(folder / PROCESSOR_FILE, processor) if parts is None else parts.window_s
            ),
            task_windows_s=(
                _task_windows_s(folder / PROCESSOR_FILE, processor)
                if parts is None
                else parts.task_windows_s
            ),
            knows=_knows(folder, processor) if parts is None else parts.knows,
            thinks=_thinks(folder, str(source), processor),
            revision=None if local else folder.name,
            _state=state,
        )

    @property
    def config(self) -> MossAudioConfig:
        """transformers' configuration, made anew at each call."""
        return _with_path(self.folder, lambda: _config(self.values))

    @property
    def prompt_spec(self) -> PromptSpec:
        """What the renderer needs to know.

        Raises:
            CheckpointError: if processor_config.json holds what cannot be, or other audio ids than
                config.json.
        """
        path = self.folder / PROCESSOR_FILE
        try:
            spec = prompt_spec(self.processor)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        for name in AUDIO_IDS:
            found, expected = getattr(spec, name), getattr(self.sizes, name)
            if found != expected:
                if not path.is_file():
                    raise CheckpointError(f"{path}: missing; download the checkpoint again")
                raise CheckpointError(
                    f"{path}: {name} is {found}, but config.json says {expected}; the files are of "
                    "different checkpoints"
                )
        return spec

    @property
    def habits(self) -> dict[str, Any]:
        """What it says of its use, in the words of `processor_config.json`: which clips it handles
        well, the language that it knows, and whether it thinks (which its name may have said)."""
        said: dict[str, Any] = {}
        if self.window_s is not None:
            said["window_s"] = self.window_s
        if self.task_windows_s:
            said[TASK_WINDOWS] = dict(self.task_windows_s)
        if self.knows is not None:
            said[KNOWS] = asdict(self.knows)
        if self.thinks:
            said["thinks"] = True
        return said

    @property
    def layout(self) -> Literal["released", "embedded", "exported"]:
        """Whole weights under the released names, nano's quantised parts, or what
        `moss-audio export` made of either."""
        if self.parts is not None:
            return "embedded"
        return "exported" if self.exported else "released"

    @property
    def exported(self) -> Mapping[str, Any]:
        """What config.json says of an exported folder: format, bits, size of a block; else {}."""
        return self.values.get(EXPORTED) or {}

    def require_torch_weights(self) -> None:
        """Raises CheckpointError for an exported folder, which the light engine alone runs."""
        if self.layout == "exported":
            raise CheckpointError(
                f"{self.folder}: holds weights for the light engine (engine='onnx') alone; torch "
                "takes the checkpoint that it was exported from"
            )

    @property
    def times(self) -> str:
        """How word times are best found: "written", by "alignment" or "refined" (see
        `MossAudio.transcribe`)."""
        return self.exported.get("times", "written") if self.parts is None else self.parts.times

    @property
    def weight_files(self) -> list[Path]:
        """The safetensors files that loading reads.

        Raises:
            CheckpointError: if one is missing, or the index of the shards is damaged.
        """
        if self.parts is None:
            return weight_files(self.folder)
        files = part_files(self.folder)
        return [*files.fixed, *files.trained]

    @cached_property
    def can_think(self) -> bool:
        """Whether its tokenizer has the marks of a think block. Raises CheckpointError where there
        is no tokenizer."""
        from moss_audio.model.tokenizer import Tokenizer

        backend = Tokenizer.open(self.folder).backend_tokenizer
        return all(backend.token_to_id(mark) is not None for mark in (THINK_OPEN, THINK_CLOSE))

    @property
    def thinker(self) -> str | None:
        """What thinks in this checkpoint's place: of "nano" it is "nano-thinking", which differs
        from it in its decoder's LoRA; None where it does so itself, or nobody does."""
        embedded = self.folder == embedded_folder() and is_embedded(embedded_folder(THINKING))
        return THINKING if embedded else None

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the names and contents of all its files, and of those of its `thinker`: 64
        hexadecimal digits.

        Raises:
            CheckpointError: if a file has changed since the checkpoint was opened: the hash would
                be that of another model than the one in use.
        """
        based = self.parts is not None and self.parts.base is not None
        folders = part_files(self.folder).folders if based else (self.folder,)
        hashes = [folder_hash(folder) for folder in folders]
        if self.thinker is not None:
            hashes.append(folder_hash(embedded_folder(self.thinker)))
        digest = hashes[0] if len(hashes) == 1 else sha256("".join(hashes).encode()).hexdigest()
        if _states(folders) != self._state:
            raise CheckpointError(
                f"{self.folder}: its files have changed since it was loaded; load it again"
            )
        return digest


def embedded_folder(name: str = EMBEDDED) -> Path:
    """The folder of a checkpoint that is shipped in the package."""
    return Path(__file__).resolve().parent.parent / "assets" / name


def is_embedded(folder: Path) -> bool:
    """Whether a folder holds quantised parts (nano) instead of the released layout."""
    return (folder / PARTS_FILE).is_file()


def load_config(folder: Path) -> MossAudioConfig:
    """transformers' configuration of a checkpoint folder, checked."""
    values = _read_config(folder)
    return _with_path(folder, lambda: _config(values))


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / _CONFIG_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder}: no config.json, so this is not a checkpoint folder")
    values = _read_json(path)
    kind = values.get("model_type")
    if kind != MODEL_TYPE:
        raise CheckpointError(f"{path}: model_type {kind!r}, expected {MODEL_TYPE!r}")
    return values


def _config(values: Mapping[str, Any]) -> MossAudioConfig:
    require("transformers", extra="torch", purpose="MossAudioConfig")
    from moss_audio.model.config import MossAudioConfig

    return MossAudioConfig.from_dict(deepcopy(dict(values)))


def _sizes(folder: Path, values: Mapping[str, Any]) -> ModelSizes:
    """Those of config.json; more tokens may end an answer by generation_config.json."""
    sizes = _with_path(folder, lambda: ModelSizes.read(values))
    more = _read_json(folder / _GENERATION_FILE).get("eos_token_id")
    ids = sizes.decoder.eos_ids.union([more] if isinstance(more, int) else more or ())
    return replace(sizes, decoder=replace(sizes.decoder, eos_ids=ids))


def _with_path(folder: Path, read: Callable[[], T]) -> T:
    """What `read` makes of the folder's config.json; its errors name the file's place."""
    path = folder / _CONFIG_FILE
    try:
        return read()
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {str(error).removeprefix('config.json: ')}") from error
    except MissingDependencyError:
        raise
    except Exception as error:  # a field of a type that nothing can be made of
        raise CheckpointError(f"{path}: {short_reason(error)}") from error


def read_parts(folder: Path) -> Parts:
    """The checked `parts.json` of an embedded checkpoint.

    Raises:
        CheckpointError: if it is not readable or lacks an entry.
    """
    path = folder / PARTS_FILE

    def parts() -> Parts:
        values = json.loads(path.read_text(encoding="utf-8"))
        base = values.get("base")
        return Parts(
            () if base is not None else tuple(str(name) for name in values["fixed"]),
            str(values["trained"]),
            _window_s(path, values) or Parts.window_s,
            _task_windows_s(path, values),
            str(values.get("times", Parts.times)),
            None if base is None else str(base),
            KnownSpeech.read(values, path),
        )

    return _undamaged(path, parts, "reinstall or rebuild it")


def part_files(folder: Path) -> PartFiles:
    """The files of an embedded checkpoint, those of its base included.

    Raises:
        CheckpointError: if a `parts.json` is damaged, or a base is not there or based on itself.
    """
    folders, trained, parts = [folder], [folder / read_parts(folder).trained], read_parts(folder)
    while parts.base is not None:
        here = folders[-1]
        base = embedded_folder() if parts.base == EMBEDDED else (here / parts.base).resolve()
        if not is_embedded(base):
            raise CheckpointError(
                f"{here / PARTS_FILE}: its base {parts.base!r} is no embedded checkpoint; put it "
                "back there"
            )
        if any(base.samefile(one) for one in folders):
            raise CheckpointError(f"{here / PARTS_FILE}: its base {parts.base!r} leads to itself")
        parts = read_parts(base)
        folders.append(base)
        trained.insert(0, base / parts.trained)
    fixed = tuple(folders[-1] / name for name in parts.fixed)
    return PartFiles(fixed, tuple(trained), tuple(folders))


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder in the released layout: one, or the shards of an index."""
    index = folder / INDEX_FILE

    def shards() -> list[Path]:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return [folder / name for name in sorted(set(weight_map.values()))]

    single = not index.is_file()
    files = [folder / SINGLE_FILE] if single else _undamaged(index, shards, "download it again")
    for path in files:
        if not path.is_file():
            raise CheckpointError(f"{path}: missing; download the checkpoint again")
    return files


def find_local(source: str | Path) -> Path | None:
    """The folder of anything but a hub id, for which it is None."""
    if source in (EMBEDDED, THINKING):
        folder = embedded_folder(str(source))
        if not is_embedded(folder):
            own = {EMBEDDED: "moss-audio build-nano", THINKING: "moss-audio train cold_start"}
            raise CheckpointError(
                f"the embedded checkpoint is not in {folder}: reinstall moss-audio, or make one of "
                f"your own ({own[str(source)]}) and give its folder"
            )
        return folder
    text, folder = str(source), Path(source).expanduser()
    if not text:
        raise CheckpointError("'': give nano, the folder of a checkpoint, or a hub id owner/name")
    try:
        there, is_folder = folder.exists(), folder.is_dir()
    except (OSError, ValueError) as error:  # too long for a path, a NUL
        raise CheckpointError(f"{text[:80]}: not the name of a folder ({error})") from None
    if is_folder:
        return folder
    if there:
        raise CheckpointError(f"{text}: a model is a folder (or a hub id), this is a file")
    if text.lower().startswith(("http://", "https://")):
        raise CheckpointError(f"{text}: is a server; here its checkpoint itself is needed: give a "
                              "folder or a hub id")  # fmt: skip
    if text.count("/") != 1 or text.startswith((".", "/", "~")) or isinstance(source, Path):
        raise CheckpointError(f"{text}: no such folder, and not a hub id of the form owner/name")
    return None


def _download(name: str, revision: str | None, cache_dir: Any, token: Any, offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                cache_dir=cache_dir,
                token=token,
                local_files_only=offline,
                allow_patterns=[f"*{suffix}" for suffix in MODEL_SUFFIXES],
            )
        )
    except Exception as error:  # network, authorisation, offline: many kinds, one remedy
        reason = short_reason(error)
        raise CheckpointError(
            f"{name}: not a local folder, and the hub download failed ({reason}); download it "
            "where there is a network and give the folder's path"
        ) from error


def _state(folder: Path) -> State:
    """Name, size and time of the last change of each file that belongs to a model."""

    def stats() -> Iterator[tuple[str, int, int]]:
        for path in sorted(folder.iterdir()):
            if path.suffix in MODEL_SUFFIXES and path.is_file():
                stat = path.stat()
                yield path.name, stat.st_size, stat.st_mtime_ns

    return tuple(stats())


def _states(folders: Sequence[Path]) -> State:
    return tuple(entry for folder in folders for entry in _state(folder))


def _window_s(path: Path, settings: Mapping[str, Any]) -> float | None:
    value = settings.get("window_s")
    return None if value is None else _seconds(path, "window_s", value)


def _task_windows_s(path: Path, settings: Mapping[str, Any]) -> dict[str, float]:
    said = settings.get(TASK_WINDOWS) or {}
    if not isinstance(said, Mapping):
        raise CheckpointError(f"{path}: {TASK_WINDOWS} {said!r} must have seconds by tasks' names")
    return {
        str(task): _seconds(path, f"{TASK_WINDOWS} of {task}", seconds)
        for task, seconds in said.items()
    }


def _seconds(path: Path, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise CheckpointError(f"{path}: {name} {value!r} must be a positive number of seconds")
    return float(value)


def _knows(folder: Path, processor: dict[str, Any]) -> KnownSpeech | None:
    return KnownSpeech.read(processor, folder / PROCESSOR_FILE)


def _thinks(folder: Path, name: str, processor: dict[str, Any]) -> bool:
    """What `thinks` of `processor_config.json` says. The released folders do not have it, and
    Instruct and Thinking share one chat template: there the checkpoint's name tells."""
    value = processor.get("thinks")
    if value is not None:
        if not isinstance(value, bool):
            raise CheckpointError(
                f"{folder / PROCESSOR_FILE}: thinks {value!r} must be true or false"
            )
        return value
    template = folder / "chat_template.jinja"
    if template.is_file():
        text = template.read_text(encoding="utf-8", errors="replace")
        if _OPENS_THINKING.search(text):
            return True
    names = (Path(name).name, folder.resolve().name)
    return any("thinking" in one.lower() for one in names)


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # also UnicodeDecodeError, JSONDecodeError
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: not readable as JSON (it holds no object)")
    return values


def _undamaged(path: Path, read: Callable[[], T], remedy: str) -> T:
    try:
        return read()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged ({short_reason(error)}); {remedy}") from error
