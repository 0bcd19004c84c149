"""pipecat's own client of OpenAI's transcription, as it is: `pipecat_client.py ADDRESS FILE MODE`.

MODE is `server` or `local`: who finds the turns. Hears a recording at the pace of speech and prints
a line of JSON for what it is told.
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
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.stt import OpenAIRealtimeSTTService

# Where a local detector would find the two sentences of the example, in frames of 20 ms.
STARTS, STOPS = (20, 190), (165, 345)


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


async def main(address: str, path: str, mode: str) -> None:
    with wave.open(path) as file:
        rate, data = file.getframerate(), file.readframes(file.getnframes())
    data += bytes(4 * rate)  # two seconds of silence
    address = address.replace("http", "ws") + "/realtime"
    stt = OpenAIRealtimeSTTService(
        api_key="none",
        base_url=address,
        turn_detection=None if mode == "server" else False,
        settings=OpenAIRealtimeSTTService.Settings(model="gpt-4o-transcribe"),
    )
    sink = Sink()
    task = PipelineTask(Pipeline([stt, sink]), params=PipelineParams(audio_in_sample_rate=rate))

    async def speak() -> None:
        await asyncio.sleep(1)  # until it is connected
        step = rate // 25
        for index, place in enumerate(range(0, len(data), step)):
            if mode == "local" and index in STARTS:
                await task.queue_frame(VADUserStartedSpeakingFrame())
            if mode == "local" and index in STOPS:
                await task.queue_frame(VADUserStoppedSpeakingFrame())
            await task.queue_frame(
                InputAudioRawFrame(
                    audio=data[place : place + step], sample_rate=rate, num_channels=1
                )
            )
            await asyncio.sleep(0.02)
        while sink.finals < 2:
            await asyncio.sleep(0.1)
        await task.queue_frame(EndFrame())

    speaking = asyncio.create_task(speak())
    await PipelineRunner(handle_sigint=False).run(task)
    await speaking


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 60))
