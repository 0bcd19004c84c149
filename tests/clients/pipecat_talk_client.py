"""pipecat's own client of OpenAI's realtime conversations: `pipecat_talk_client.py ADDRESS FILE`.

Speaks a recording at the pace of speech, and prints a line of JSON for each answer and transcript.
"""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from typing import Any

from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMTextFrame,
    TranscriptionFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.realtime import events
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner

QUESTION = "Say yes."


class Sink(FrameProcessor):
    """Prints."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = 0
        self._text = ""

    async def process_frame(self, frame: Any, direction: Any) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            self._text += frame.text
        elif isinstance(frame, LLMFullResponseEndFrame) and self._text:
            self._tell("answer", self._text)
            self._text = ""
            self.answers += 1
        elif isinstance(frame, ErrorFrame):
            self._tell("error", str(frame))
        await self.push_frame(frame, direction)

    def _tell(self, kind: str, text: str) -> None:
        print(json.dumps([kind, text]), flush=True)


class Source(FrameProcessor):
    """Transcripts of the user go upstream."""

    async def process_frame(self, frame: Any, direction: Any) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame) and direction == FrameDirection.UPSTREAM:
            print(json.dumps(["final_transcript", frame.text]), flush=True)
        await self.push_frame(frame, direction)


async def main(address: str, path: str) -> None:
    with wave.open(path) as file:
        rate, data = file.getframerate(), file.readframes(file.getnframes())
    half, silence = 7 * rate, bytes(2 * rate)  # 3.5 s, and a second
    sentences = (data[:half] + silence, data[half:] + silence)
    heard = events.AudioInput(
        format=events.PCMAudioFormat(),
        transcription=events.InputAudioTranscription(model="whisper-1"),
        turn_detection=events.TurnDetection(),
    )
    llm = OpenAIRealtimeLLMService(
        api_key="none",
        base_url=address.replace("http", "ws") + "/realtime",
        settings=OpenAIRealtimeLLMService.Settings(
            model="nano",
            session_properties=events.SessionProperties(
                output_modalities=["text"], audio=events.AudioConfiguration(input=heard)
            ),
        ),
    )
    sink = Sink()
    worker = PipelineWorker(
        Pipeline([Source(), llm, sink]), params=PipelineParams(audio_in_sample_rate=24_000)
    )

    async def speak() -> None:
        context = LLMContext([{"role": "user", "content": QUESTION}])  # type: ignore[list-item]
        await worker.queue_frame(LLMContextFrame(context))
        while sink.answers < 1:
            await asyncio.sleep(0.1)
        step = rate // 25
        for answers, sentence in enumerate(sentences, 2):
            for place in range(0, len(sentence), step):
                piece = sentence[place : place + step]
                await worker.queue_frame(InputAudioRawFrame(piece, rate, 1))
                await asyncio.sleep(0.02)
            while sink.answers < answers:  # speech would interrupt it
                await asyncio.sleep(0.1)
        await worker.queue_frame(EndFrame())

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    speaking = asyncio.create_task(speak())
    await runner.run()
    await speaking


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 60))
