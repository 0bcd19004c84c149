"""What is saved comes back bit for bit; whatever is wrong with a folder is one line naming it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import torch
from safetensors.torch import load_file, save_file

from moss_audio.errors import CheckpointError
from moss_audio.model import checkpoint
from moss_audio.model.checkpoint import Checkpoint, embedded_folder
from moss_audio.model.known_speech import KnownSpeech
from moss_audio.model.modeling import MossAudioModel
from moss_audio.model.presets import preset
from moss_audio.model.processing import MossAudioProcessor
from moss_audio.prompt import chat_template
from moss_audio.train.setup import source_folder
from tests.embedded import NEEDS_THINKER

VARIANTS: dict[str, dict[str, Any]] = {
    "qwen3": {},
    "released width": {"audio": {"output_dim": 16}},
    "two mergers": {"deepstack_num_inject_layers": 2},
    "tied llama": {
        "language": {**tiny.LLAMA, "tie_word_embeddings": True},
        "audio": tiny.WHISPER_STEM,
    },
}
WEIGHT = "audio_encoder.layers.1.fc1.weight"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    tiny.model().to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "model")


def load_error(folder: str | Path, **options: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        MossAudioModel.from_pretrained(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("shard_size", [None, "50KB"])
def test_a_bfloat16_round_trip_changes_nothing(
    variant: dict[str, Any], shard_size: str | None, tmp_path: Path
) -> None:
    model = tiny.model(**variant).to(torch.bfloat16)
    options = {"max_shard_size": shard_size} if shard_size else {}
    model.save_pretrained(tmp_path, **options)
    assert (tmp_path / checkpoint.INDEX_FILE).exists() == (shard_size is not None)
    assert len(checkpoint.weight_files(tmp_path)) > (1 if shard_size else 0)
    again = MossAudioModel.from_pretrained(tmp_path, dtype="auto").eval()
    assert again.dtype == torch.bfloat16
    before, after = model.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name
        assert after[name].dtype == torch.bfloat16
    inputs = tiny.batch(tiny.mixed_prompts())
    with torch.no_grad():
        assert torch.equal(again(**inputs).logits, model(**inputs).logits)
    tied = again.lm_head.weight is again.get_input_embeddings().weight
    assert tied == model.config.tie_word_embeddings


def test_a_second_save_writes_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    before = saved
    for after in (tmp_path / "second", tmp_path / "third"):
        MossAudioModel.from_pretrained(before, dtype="auto").save_pretrained(after)
        names = ["model.safetensors", "generation_config.json"]
        # loading writes the dtype into the parts of the configuration, once
        names += ["config.json"] if before != saved else []
        for name in names:
            assert (after / name).read_bytes() == (before / name).read_bytes(), name
        before = after


def test_the_saved_folder_names_its_class_and_the_released_weights(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    assert config["architectures"] == ["MossAudioModel"]
    assert config["model_type"] == "moss_audio"
    assert config["language_config"]["model_type"] == "qwen3"
    names = load_file(saved / "model.safetensors").keys()
    for name in (
        "audio_encoder.conv1.weight",
        "audio_encoder.conv3.bias",
        "audio_encoder.stem_proj.weight",
        "audio_encoder.out_proj.weight",
        "audio_encoder.layers.3.self_attn.q_proj.bias",
        "audio_encoder.layers.3.self_attn.k_proj.weight",
        "audio_encoder.layers.0.self_attn_layer_norm.weight",
        "audio_encoder.layers.0.fc2.bias",
        "audio_encoder.layers.0.final_layer_norm.bias",
        "audio_encoder.layer_norm.weight",
        "audio_adapter.gate_proj.weight",
        "deepstack_audio_merger_list.2.down_proj.weight",
        "language_model.embed_tokens.weight",
        "language_model.layers.0.self_attn.q_norm.weight",
        "language_model.norm.weight",
        "lm_head.weight",
    ):
        assert name in names
    assert not [n for n in names if "k_proj.bias" in n or "position" in n or "inv_freq" in n]


def test_loading_over_the_meta_device_leaves_nothing_undefined(saved: Path) -> None:
    model = MossAudioModel.from_pretrained(saved, dtype=torch.float32, low_cpu_mem_usage=True)
    model.eval()
    tensors = [*model.named_parameters(), *model.named_buffers()]
    assert all(tensor.isfinite().all() for _, tensor in tensors)
    assert not [name for name, tensor in tensors if tensor.is_meta]
    direct = MossAudioModel(checkpoint.load_config(saved)).eval()
    direct.load_state_dict(load_file(saved / "model.safetensors"))
    inputs = tiny.batch(tiny.mixed_prompts())
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, direct(**inputs).logits)
        assert model(**inputs).logits.isfinite().all()


def test_the_decoders_rotary_frequencies_survive_loading_in_bfloat16(saved: Path) -> None:
    exact = dict(MossAudioModel.from_pretrained(saved, dtype=torch.float32).named_buffers())
    rounded = MossAudioModel.from_pretrained(saved, dtype=torch.bfloat16)
    for name, buffer in rounded.named_buffers():
        assert torch.equal(buffer, exact[name])


def test_a_stored_position_table_is_ignored(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file(
        {**load_file(path), "audio_encoder.embed_positions.inv": torch.zeros(3)},
        path,
        metadata={"format": "pt"},
    )
    MossAudioModel.from_pretrained(folder)


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def test_a_missing_weight_is_named(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.pop(WEIGHT))
    assert f"missing {WEIGHT}" in load_error(folder)


def test_an_unexpected_weight_is_named(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.update({"audio_encoder.extra": torch.zeros(2)}))
    assert "unexpected audio_encoder.extra" in load_error(folder)


def test_a_misshapen_weight_is_named(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.update({WEIGHT: torch.zeros(3, 5)}))
    assert f"{WEIGHT} has shape [3, 5], expected [32, 16]" in load_error(folder)


def test_all_faults_come_in_one_line_with_long_lists_cut(folder: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        for name in [n for n in weights if n.startswith("audio_encoder.layers.2.")]:
            weights[name.replace("layers.2.", "layers.7.")] = weights.pop(name)
        weights[WEIGHT] = torch.zeros(1)

    rewrite(folder, change)
    message = load_error(folder)
    for part in ("missing audio_encoder.layers.2.", "more", "unexpected", "layers.7.", WEIGHT):
        assert part in message
    assert len(message) < 1500


def test_an_untied_head_must_be_there(folder: Path) -> None:
    rewrite(folder, lambda weights: weights.pop("lm_head.weight"))
    assert "missing lm_head.weight" in load_error(folder)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"n_window": 50}, "n_window 50"),
        ({"deepstack_encoder_layer_indexes": [0, 4]}, "names layer 4"),
        ({"encoder_attention_heads": 3}, "encoder_attention_heads 3"),
    ],
)
def test_a_bad_config_is_named_before_any_weight(
    folder: Path, fields: dict[str, Any], named: str
) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["audio_config"].update(fields)
    path.write_text(json.dumps(config))
    (folder / "model.safetensors").unlink()
    message = load_error(folder)
    assert named in message
    assert str(path) in message


def test_a_config_for_other_sizes_is_named(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["audio_config"]["encoder_ffn_dim"] = 40
    path.write_text(json.dumps(config))
    assert "expected [40, 16]" in load_error(folder)


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 64])
def test_damaged_weights_are_named(folder: Path, content: bytes) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(content)
    assert f"{path}: not a readable safetensors file" in load_error(folder)


def test_truncated_weights_are_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert f"{path}: not a readable safetensors file" in load_error(folder)


def test_missing_files_are_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "model.safetensors: missing" in load_error(folder)
    (folder / "config.json").unlink()
    assert "no config.json" in load_error(folder)


def test_truncated_config_is_named(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text()[:-40])
    assert f"{path}: not readable as JSON" in load_error(folder)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"weight_map": 3}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a"',
        "\udcff",
    ],
)
def test_a_damaged_index_is_named(folder: Path, content: str) -> None:
    path = folder / checkpoint.INDEX_FILE
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert f"{path}: damaged" in load_error(folder)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    tiny.model().save_pretrained(tmp_path, max_shard_size="100KB")
    shard = checkpoint.weight_files(tmp_path)[1]
    shard.unlink()
    assert f"{shard}: missing" in load_error(tmp_path)


def test_other_than_a_folder(tmp_path: Path, folder: Path) -> None:
    assert "no such folder" in load_error(tmp_path / "absent")
    assert "this is a file" in load_error(folder / "config.json")
    assert "no such folder, and not a hub id" in load_error("nonsense")
    assert "no config.json" in load_error(tmp_path)


def test_nano_is_the_embedded_one_and_a_folder_of_that_name_is_written_as_a_path(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "nano")
    monkeypatch.chdir(tmp_path)
    assert source_folder("nano") == Checkpoint.open("nano").folder == embedded_folder()
    for name in ("./nano", Path("nano"), tmp_path / "nano"):
        assert Checkpoint.open(name).folder.resolve() == tmp_path / "nano"
    assert source_folder("./nano").resolve() == tmp_path / "nano"
    assert MossAudioModel.from_pretrained("./nano").config.language_config.model_type == "qwen3"
    with pytest.raises(CheckpointError, match=r"no processor in '\./nano'"):
        MossAudioProcessor.from_pretrained("./nano")
    assert load_error("") == "'': give nano, the folder of a checkpoint, or a hub id owner/name"


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache as the hub's client leaves it, with two revisions of two checkpoints."""
    for name in ("owner/model", "owner/MOSS-Audio-4B-Thinking"):
        root = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        for commit in ("a" * 40, "b" * 40):
            shutil.copytree(folder, root / "snapshots" / commit)
        (root / "snapshots" / ("b" * 40) / "generation_config.json").write_text("{}")
        (root / "refs").mkdir()
        (root / "refs" / "main").write_text("b" * 40)
        (root / "refs" / "v1").write_text("a" * 40)
    return tmp_path / "hub"


def test_a_fingerprint_is_of_the_revision_that_was_loaded(hub: Path) -> None:
    main, first = (
        Checkpoint.open("owner/model", revision=r, cache_dir=hub, local_files_only=True)
        for r in (None, "v1")
    )
    assert (main.revision, first.revision) == ("b" * 40, "a" * 40)
    assert main.fingerprint != first.fingerprint
    assert main.fingerprint == Checkpoint.open(main.folder).fingerprint
    assert Checkpoint.open(main.folder).revision is None
    assert Checkpoint.open(main) is main


@NEEDS_THINKER
def test_a_fingerprint_is_also_of_what_thinks_in_its_place(tmp_path: Path) -> None:
    nano = Checkpoint.open("nano")
    assert nano.thinker == "nano-thinking"
    alone = Checkpoint.open(shutil.copytree(nano.folder, tmp_path / "nano"))
    assert alone.thinker is None
    assert alone.fingerprint != nano.fingerprint


def test_a_checkpoint_that_was_replaced_has_no_fingerprint(folder: Path) -> None:
    before = Checkpoint.open(folder)
    rewrite(folder, lambda weights: weights.update({WEIGHT: weights[WEIGHT] + 1}))
    with pytest.raises(CheckpointError, match="have changed since"):
        before.fingerprint  # noqa: B018
    assert Checkpoint.open(folder).fingerprint


def test_which_checkpoint_thinks(folder: Path, tmp_path: Path, hub: Path) -> None:
    assert not Checkpoint.open(folder).thinks
    assert not Checkpoint.open("nano").thinks
    named = "owner/MOSS-Audio-4B-Thinking"
    assert Checkpoint.open(named, cache_dir=hub, local_files_only=True).thinks
    renamed = folder.rename(tmp_path / "MOSS-Audio-8B-Thinking")
    assert Checkpoint.open(renamed).thinks
    assert Checkpoint.open(f"{renamed}/").thinks
    settings = renamed / "processor_config.json"
    settings.write_text('{"thinks": false}')
    assert not Checkpoint.open(renamed).thinks
    settings.write_text('{"thinks": 1}')
    with pytest.raises(CheckpointError, match="thinks 1 must be true or false"):
        Checkpoint.open(renamed)
    settings.unlink()
    plain = renamed.rename(tmp_path / "model")
    template = plain / "chat_template.jinja"
    template.write_text(chat_template())
    assert not Checkpoint.open(plain).thinks
    template.write_text("{{- '<|im_start|>assistant\\n<think>\\n' }}")
    assert Checkpoint.open(plain).thinks


def test_which_speech_a_checkpoint_knows(folder: Path, tmp_path: Path) -> None:
    assert Checkpoint.open(folder).knows is None
    known = Checkpoint.open("nano").knows
    assert known is not None
    assert known.language == "English"
    settings = folder / "processor_config.json"
    for knows, found in (
        ({"language": "Dutch", "sure_share": 0.25}, KnownSpeech("Dutch", 0.25)),
        (None, None),
    ):
        settings.write_text(json.dumps({"knows": knows}))
        assert Checkpoint.open(folder).knows == found
    for wrong in ("English", {"language": "English"}, {"language": "", "sure_share": 0.5},
                  {"language": "English", "sure_share": 1.5},
                  {"language": "English", "sure_share": True}):  # fmt: skip
        settings.write_text(json.dumps({"knows": wrong}))
        with pytest.raises(
            CheckpointError, match="must have a language and a sure_share"
        ) as caught:
            Checkpoint.open(folder)
        assert str(settings) in str(caught.value)


def test_a_hub_id_offline_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    message = load_error("some-owner/some-model", cache_dir=tmp_path)
    assert "hub download failed" in message
    assert "give the folder's path" in message


def test_options_of_transformers_keep_working(saved: Path) -> None:
    model, info = MossAudioModel.from_pretrained(
        str(saved), dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"]
    eager = MossAudioModel.from_pretrained(saved, dtype=torch.float32, attn_implementation="eager")
    assert eager.language_model.config._attn_implementation == "eager"
    config = checkpoint.load_config(saved)
    assert MossAudioModel.from_pretrained(saved, config=config).config is not None
    tokens = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        torch.testing.assert_close(eager.eval()(tokens).logits, model.eval()(tokens).logits)


@pytest.mark.parametrize(("name", "expected"), [("4b", 5_222_820_736), ("8b", 9_052_463_488)])
def test_parameter_counts_of_the_released_sizes(name: str, expected: int) -> None:
    with torch.device("meta"):
        model = MossAudioModel(preset(name))
    assert sum(p.numel() for p in model.parameters()) == expected
    assert sum(p.numel() for p in model.audio_encoder.parameters()) == 643_624_320
    assert all(p.is_meta for p in model.parameters())
