"""pipecat's own clients of OpenAI's transcription: `pipecat_client.py ADDRESS FILE MODE`.

MODE is `rest` (a file for each turn) or `local`, where pipecat's Silero finds the turns, or
`server`, where the server does. Hears a recording at the pace of speech and prints a line of JSON
for what it is told.
"""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from typing import Any

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.stt import OpenAIRealtimeSTTService, OpenAISTTService
from pipecat.workers.runner import WorkerRunner


class Sink(FrameProcessor):
    """Prints."""

    def __init__(self) -> None:
        super().__init__()
        self.finals = 0

    async def process_frame(self, frame: Any, direction: Any) -> None:
        await super().process_frame(frame, direction)
        for kind, name in (
            (TranscriptionFrame, "final_transcript"),
            (InterimTranscriptionFrame, "interim_transcript"),
            (ErrorFrame, "error"),
        ):
            if isinstance(frame, kind):
                print(json.dumps([name, getattr(frame, "text", str(frame))]), flush=True)
                self.finals += name == "final_transcript"
        await self.push_frame(frame, direction)


def parts(address: str, mode: str) -> list[Any]:
    """What is before the sink."""
    if mode == "rest":
        stt: Any = OpenAISTTService(api_key="none", base_url=address)
    else:
        detection: Any = {"type": "server_vad"} if mode == "server" else False
        stt = OpenAIRealtimeSTTService(
            api_key="none",
            base_url=address.replace("http", "ws") + "/realtime",
            turn_detection=detection,
        )
    if mode == "server":
        return [stt]
    silero = SileroVADAnalyzer(params=VADParams(stop_secs=0.5))
    return [VADProcessor(vad_analyzer=silero), stt]


async def main(address: str, path: str, mode: str) -> None:
    with wave.open(path) as file:
        rate, data = file.getframerate(), file.readframes(file.getnframes())
    data += bytes(4 * rate)  # two seconds of silence
    sink = Sink()
    worker = PipelineWorker(
        Pipeline([*parts(address, mode), sink]), params=PipelineParams(audio_in_sample_rate=rate)
    )

    async def speak() -> None:
        await asyncio.sleep(1)  # until it is connected
        step = rate // 25
        for place in range(0, len(data), step):
            piece = data[place : place + step]
            await worker.queue_frame(
                InputAudioRawFrame(audio=piece, sample_rate=rate, num_channels=1)
            )
            await asyncio.sleep(0.02)
        while sink.finals < 2:
            await asyncio.sleep(0.1)
        await worker.queue_frame(EndFrame())

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    speaking = asyncio.create_task(speak())
    await runner.run()
    await speaking


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 60))
