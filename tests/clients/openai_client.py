"""openai-python as it is: `openai_client.py ADDRESS FILE MODE`.

MODE is `rest`, `sse`, `realtime` or `question`. Prints a line of JSON for what it is told.
"""

from __future__ import annotations

import base64
import json
import sys
import wave
from typing import Any

from openai import OpenAI

TRANSCRIPTION = "conversation.item.input_audio_transcription"


def say(kind: str, text: str) -> None:
    print(json.dumps([kind, text]), flush=True)


def rest(client: OpenAI, path: str) -> None:
    with open(path, "rb") as file:
        said = client.audio.transcriptions.create(
            file=file, model="whisper-1", response_format="verbose_json",
            timestamp_granularities=["word"],
        )  # fmt: skip
    assert said.words is not None
    assert [word.word for word in said.words] == said.text.split()
    assert all(0 <= word.start <= word.end <= said.duration for word in said.words)
    say("final_transcript", said.text)


def sse(client: OpenAI, path: str) -> None:
    with open(path, "rb") as file:
        events = client.audio.transcriptions.create(file=file, model="gpt-transcribe", stream=True)
        for event in events:
            if event.type == "transcript.text.delta":
                say("interim_transcript", event.delta)
            elif event.type == "transcript.text.done":
                say("final_transcript", event.text)


def speak(live: Any, path: str) -> None:
    """All of a file, in pieces."""
    with wave.open(path) as file:
        while data := file.readframes(1600):
            live.input_audio_buffer.append(audio=base64.b64encode(data).decode())


def heard(live: Any, finals: int) -> str:
    """Until so many transcripts are final; the id of the last item."""
    for event in live:
        if event.type == f"{TRANSCRIPTION}.delta":
            say("interim_transcript", event.delta)
        elif event.type == f"{TRANSCRIPTION}.completed":
            say("final_transcript", event.transcript)
            finals -= 1
        elif event.type == "error":
            say("error", event.error.message)
        if not finals:
            item: str = event.item_id
            return item
    raise AssertionError("the connection was closed")


def realtime(client: OpenAI, path: str) -> None:
    with client.realtime.connect(extra_query={"intent": "transcription"}) as live:
        live.session.update(session={
            "type": "transcription",
            "audio": {"input": {
                "format": {"type": "audio/pcm", "rate": 16000},  # type: ignore[typeddict-item]
                "transcription": {"model": "gpt-transcribe"},
                "turn_detection": {"type": "server_vad"},
            }},
        })  # fmt: skip
        speak(live, path)
        live.input_audio_buffer.append(audio=base64.b64encode(bytes(64000)).decode())
        heard(live, 2)


def question(client: OpenAI, path: str) -> None:
    """Two questions about an item, each of which leaves the conversation as it is."""
    with client.realtime.connect(model="gpt-realtime") as live:
        live.session.update(session={
            "type": "realtime", "output_modalities": ["text"],
            "audio": {"input": {
                "format": {"type": "audio/pcm", "rate": 16000},  # type: ignore[typeddict-item]
                "transcription": {"model": "gpt-transcribe"}, "turn_detection": None,
            }},
        })  # fmt: skip
        speak(live, path)
        live.input_audio_buffer.commit()
        item = heard(live, 1)
        for asked in ("Is anyone speaking in this recording?", "How many voices are there?"):
            live.response.create(response={
                "conversation": "none", "output_modalities": ["text"],
                "metadata": {"task": "ask"}, "instructions": asked,
                "input": [{"type": "item_reference", "id": item}],  # type: ignore[list-item]
            })  # fmt: skip
            said = ""
            for event in live:
                if event.type == "response.output_text.delta":
                    said += event.delta
                elif event.type == "response.output_text.done":
                    assert event.text == said
                elif event.type == "error":
                    say("error", event.error.message)
                    return
                elif event.type == "response.done":
                    assert event.response.status == "completed"
                    say("answer", said)
                    break


def main(address: str, path: str, mode: str) -> None:
    client = OpenAI(base_url=address, api_key="none", max_retries=0, timeout=60)
    {"rest": rest, "sse": sse, "realtime": realtime, "question": question}[mode](client, path)


main(*sys.argv[1:])
