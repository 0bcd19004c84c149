"""Sound that is heard while it is spoken, against files: `python benchmarks/live.py PART`.

    latency  the first token after the commit: 60 s against 5 s, and against a file of 60 s
    finals   transcripts and word times of live turns against those of files: tokens with tolerance
             0, words over a socket; --scenes FOLDER adds scenes
    deltas   words told while somebody speaks against the transcript, a hypothesis every 0.64 s
    quiet    minutes without speech over a socket
    pairs    two utterances after each other at the pace of speech, in several sessions at once,
             whose turns the server finds, against files with the samples of those turns

Prints a JSON object. Processor seconds of this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from measure import cpu_name
from sounds import speech

import moss_audio
from moss_audio import MossAudio
from moss_audio.evaluate.loaders import prompts, scenes
from moss_audio.listen import AnswerStream
from moss_audio.live import LiveRecording
from moss_audio.metrics.asr import text_errors
from moss_audio.serve.bench.client import TRANSCRIPTION, LiveClient
from moss_audio.serve.config import ServerConfig
from moss_audio.serve.realtime.audio import encoded
from moss_audio.serve.realtime.config import AudioFormat
from moss_audio.serve.realtime.hypotheses import certain
from moss_audio.serve.realtime.words import SpokenWords, agreed
from moss_audio.serve.run import Server, bind
from moss_audio.serve.service import Service
from moss_audio.serve.work import MeteredEngine
from moss_audio.text import normalize_words
from moss_audio.units import SAMPLE_RATE

_STEP_S = 0.64
_ALIGNED = {"timestamps": "word", "times": "alignment"}
_PAUSE_S = 0.8  # behind an utterance
_SESSIONS = 4
_PACKET_BYTES = 6400
_SERVER_VAD = {"type": "server_vad"}


def latency(model: MossAudio, turns: int) -> dict[str, Any]:
    """Seconds from the end of the sound to the first token of `ask`."""
    engine: Any = model.engine
    took: dict[str, list[float]] = {"live 5 s": [], "live 60 s": [], "file 60 s": []}
    rng = np.random.default_rng(0)
    model.ask((speech(5.0, 99), SAMPLE_RATE), "What is said?", max_new_tokens=1)
    for turn in range(turns):
        jitter = rng.uniform(-2, 2)  # so that what is left of the last chunk is of every length
        for name in took:
            samples = speech(float(name.split()[1]) + jitter, turn)
            if name.startswith("file"):
                took[name].append(_first_token(model, (samples, SAMPLE_RATE)))
                engine.forget()
                continue
            before = engine.scheduler.stats().live_chunks
            with engine.live() as clip:
                for first in range(0, len(samples), 1600):
                    clip.push(samples[first : first + 1600])
                chunks = (len(samples) - 40) // (160 * engine.runner.chunk_frames)
                while engine.scheduler.stats().live_chunks < before + chunks:
                    time.sleep(0.005)
                began = time.process_time()
                handle = clip.commit()
                took[name].append(time.process_time() - began + _first_token(model, handle))
    middle = {name: statistics.median(values) for name, values in took.items()}
    return {
        "median s": middle,
        "60 s / 5 s": middle["live 60 s"] / middle["live 5 s"],
        "file 60 s / live 60 s": middle["file 60 s"] / middle["live 60 s"],
        "repaired chunks": engine.scheduler.stats().repaired_chunks,
    }


def _first_token(model: MossAudio, clip: Any) -> float:
    began = time.process_time()
    model.ask(clip, "Is anyone speaking in this recording?", max_new_tokens=1)
    return time.process_time() - began


async def finals(model: MossAudio, clips: Sequence[np.ndarray]) -> dict[str, Any]:
    """Live turns against files with the same samples."""
    rng = np.random.default_rng(0)
    same_tokens = asked = same_texts = errors = words = 0
    shifts: list[float] = []
    with _server(model) as url:
        for samples in clips:
            said, tokens = _tokens(model, (samples, SAMPLE_RATE))
            with model.live(tolerance=0) as live:
                first = 0
                while first < len(samples):
                    n = int(rng.integers(1, 2 * SAMPLE_RATE))
                    live.push(samples[first : first + n])
                    first += n
                    if live.seconds > 1 and rng.random() < 0.3:
                        model.transcribe(live)
                live.commit()
                text, last = _tokens(model, live)
            # (windows that were over when somebody asked before are not answered a second time)
            same_tokens += text == said and tokens[len(tokens) - len(last) :] == last
            asked += 1
            (found,) = [one async for one in _heard_of(url, samples, None) if "transcript" in one]
            counts = text_errors(said, found["transcript"])
            errors += counts.errors
            words += counts.references
            same_texts += said == found["transcript"]
            if said == found["transcript"] and found["words"]:
                timed = model.transcribe((samples, SAMPLE_RATE), **_ALIGNED).words
                for live_word, word in zip(found["words"], timed, strict=True):
                    shifts += [abs(live_word["start"] - word.start),
                               abs(live_word["end"] - word.end)]  # fmt: skip
    return {
        "clips": asked,
        "seconds": round(sum(map(len, clips)) / SAMPLE_RATE),
        "same tokens, tolerance 0": same_tokens / asked,
        "same text over the socket": same_texts / asked,
        "words": words,
        "words that differ": errors / max(1, words),
        "mean shift of word times, s": float(np.mean(shifts)) if shifts else None,
        "largest shift, s": max(shifts, default=None),
        "repaired chunks": model.engine.scheduler.stats().repaired_chunks,  # type: ignore[attr-defined]
    }


def _tokens(model: MossAudio, x: Any) -> tuple[str, list[tuple[int, ...]]]:
    """A transcript, and the tokens of its windows."""
    engine: Any = MeteredEngine(model.engine, "")  # type: ignore[arg-type]
    answer = AnswerStream(engine, model.query("transcribe", x))
    for _ in answer:
        pass
    tokens = [one.token_ids for one in engine.usage.answers]
    return answer.result.text, tokens


def deltas(model: MossAudio, clips: Sequence[np.ndarray]) -> dict[str, Any]:
    """What the server would tell while these are spoken."""
    told = contradicted = said = 0
    early_s: list[float] = []
    for samples in clips:
        spoken, before = SpokenWords(), ""
        with model.live() as live:
            step = round(_STEP_S * SAMPLE_RATE)
            for first in range(0, len(samples), step):
                live.push(samples[first : first + step])
                if live.seconds < 1 or first + step >= len(samples):
                    continue
                found = _heard(model, live)
                stable, before = agreed(before, found.text), found.text
                if spoken.more(found.text[: min(stable, certain(found))].rstrip()):
                    n = len(spoken.told.split())
                    early_s += [live.seconds - word.end for word in found.words[n - 1 : n]]
            live.commit()
            text = _heard(model, live).text
        told += len(spoken.told.split())
        contradicted += spoken.contradicted(text)
        said += len(text.split())
    return {
        "clips": len(clips),
        "words": said,
        "told before the commit": told,
        "of them contradicted": contradicted / max(1, told),
        "contradicted / all words": contradicted / max(1, said),
        "median lag behind the word, s": statistics.median(early_s) if early_s else None,
    }


def _heard(model: MossAudio, live: LiveRecording) -> Any:
    return model.transcribe(live, logprobs=0, **_ALIGNED)  # type: ignore[call-overload]


async def quiet(model: MossAudio) -> dict[str, Any]:
    """Words in minutes without speech, with turns that the server finds, and one turn a minute."""
    rng = np.random.default_rng(0)
    n = 60 * SAMPLE_RATE
    white = rng.standard_normal(n)
    brown = np.cumsum(white)
    brown -= np.convolve(brown, np.ones(801) / 801, "same")
    hum = np.sin(2 * np.pi * 50 * np.arange(n) / SAMPLE_RATE)
    minutes = {"digital silence": np.zeros(n), "dither": 10 ** (-90 / 20) * white}
    for level in (-60, -45, -30):
        minutes[f"white noise, {level} dBFS"] = 10 ** (level / 20) * white
    minutes["brown noise, -30 dBFS"] = 10 ** (-30 / 20) * brown / brown.std()
    minutes["hum, -30 dBFS"] = 10 ** (-30 / 20) * (hum + 0.01 * white)
    found = {}
    with _server(model) as url:
        for name, samples in minutes.items():
            words = {}
            for how, turns in (("by the server", _SERVER_VAD), ("whole", None)):
                text = ""
                async for one in _heard_of(url, samples, turns):
                    text += one.get("delta", "") + " " + one.get("transcript", "")
                words[how] = len(text.split())
            found[name] = words
    return {"words": found}


async def pairs(model: MossAudio, clips: Sequence[np.ndarray]) -> dict[str, Any]:
    """Turns at the pace of speech; every second session wants them exact."""
    with _server(model) as url:
        heard = await asyncio.gather(
            *(_spoken(url, clips[n::_SESSIONS], exact=bool(n % 2)) for n in range(_SESSIONS))
        )
    found = {}
    for name, sessions in {"default": heard[::2], "exact": heard[1::2]}.items():
        same = n_turns = errors = words = earlier = 0
        for turns in sessions:
            before: set[str] = set()
            for samples, said in turns:
                right = model.transcribe((samples, SAMPLE_RATE)).text
                counts = text_errors(right, said)
                same += right == said
                n_turns += 1
                errors += counts.errors
                words += counts.references
                earlier += len((_words(said) - _words(right)) & before)
                before = _words(right)
        found[name] = {
            "turns": n_turns, "same text": same, "words": words, "words that differ": errors,
            "words of the turn before": earlier,
        }  # fmt: skip
    return found


def _words(text: str) -> set[str]:
    return set(normalize_words(text))


async def _spoken(
    url: str, clips: Sequence[np.ndarray], *, exact: bool
) -> list[tuple[np.ndarray, str]]:
    """The turns of a session: their samples and their transcripts."""
    pause = np.zeros(round(_PAUSE_S * SAMPLE_RATE), np.float32)
    whole = np.concatenate([part for clip in clips for part in (clip, pause)])
    turns: dict[str, dict[str, Any]] = {}
    async with LiveClient.open(url, SAMPLE_RATE, turns=_SERVER_VAD, exact=exact) as client:

        async def speak() -> None:
            await client.say(np.frombuffer(_pcm(whole), "<i2"), time.monotonic())
            await client.mark()

        speaking = asyncio.ensure_future(speak())
        async with aclosing(_until_told(client, 0)) as events:
            async for event in events:
                if event["type"] == f"{TRANSCRIPTION}failed":
                    raise SystemExit(f"a turn failed: {event['error']}")
                turns.setdefault(event.get("item_id", ""), {}).update(event)
        await speaking
    out = []
    for one in turns.values():
        if "transcript" in one and "audio_end_ms" in one:
            first, end = (one[f"audio_{at}_ms"] * SAMPLE_RATE // 1000 for at in ("start", "end"))
            out.append((whole[first:end], one["transcript"]))
    return out


@contextmanager
def _server(model: MossAudio) -> Iterator[str]:
    server = Server(Service(model, ServerConfig(names=("nano",)), 0.1))
    with bind("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = listening.getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.should_exit = True
            thread.join(30)


async def _heard_of(
    url: str, samples: np.ndarray, turns: Mapping[str, Any] | None
) -> AsyncGenerator[dict[str, Any]]:
    """What comes of a turn, or with turns that the server finds of all of them, as fast as it can
    be sent: the events about what was said."""
    async with LiveClient.open(url, SAMPLE_RATE, turns=turns) as client:
        data = _pcm(samples)
        for first in range(0, len(data), _PACKET_BYTES):
            await client.append(data[first : first + _PACKET_BYTES])
        if turns is None:
            await client.commit()
        await client.mark()
        async with aclosing(_until_told(client, int(turns is None))) as events:
            async for event in events:
                if event["type"].startswith(TRANSCRIPTION):
                    yield event


async def _until_told(client: LiveClient, open_turns: int) -> AsyncGenerator[dict[str, Any]]:
    """All events until all turns are told of that had begun before the client's mark."""
    marked = False
    async for event in client:
        yield event
        marked = marked or event["type"] == "session.updated"
        open_turns += event["type"].endswith("speech_stopped")
        open_turns -= event["type"] in (f"{TRANSCRIPTION}completed", f"{TRANSCRIPTION}failed")
        if marked and not open_turns:
            return


def _pcm(samples: np.ndarray) -> bytes:
    return encoded(samples, AudioFormat(rate=SAMPLE_RATE))


def _clips(folder: Path | None, most: int) -> list[np.ndarray]:
    """Samples as a client sends them, in 16 bits."""
    items = list(prompts.load().items)
    if folder is not None:
        items = list(scenes.speech(scenes.scenes(folder)).items)
    out = []
    for item in items[:most]:
        (clip,) = item.audio
        samples = clip.load().samples
        out.append((np.clip(np.round(samples * 32768), -32768, 32767) / 32768).astype(np.float32))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("part", choices=["latency", "finals", "deltas", "quiet", "pairs"])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--scenes", type=Path)
    given = parser.parse_args()
    model = moss_audio.load(given.model, engine="onnx", threads=given.threads)
    if given.part == "latency":
        found = latency(model, given.turns)
    elif given.part == "quiet":
        found = asyncio.run(quiet(model))
    elif given.part == "deltas":
        found = deltas(model, _clips(given.scenes, given.clips))
    else:
        part = {"finals": finals, "pairs": pairs}[given.part]
        found = asyncio.run(part(model, _clips(given.scenes, given.clips)))
    print(json.dumps({"part": given.part, **found, "on": cpu_name()}, indent=1))


if __name__ == "__main__":
    main()
