"""A voice agent: it writes down what it hears, and asks the model about the sound of every turn.

pip install 'pipecat-ai[openai,local]==1.14.0'    # local: the microphone, by PortAudio
moss-audio serve nano                             # in another terminal
python voice_agent.py                             # or: voice_agent.py FILE.wav 'Is it raining?'
"""

import asyncio
import sys
import wave
from typing import Any

from loguru import logger
from pipecat.frames import frames
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.openai.stt import OpenAIRealtimeSTTService
from pipecat.workers.runner import WorkerRunner


class Turns(FrameProcessor):  # type: ignore[misc]
    """Keeps the sound of each turn that the server finds, and asks when it is written down."""

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question = question
        self.sound: list[Any] = []
        self.turn: list[Any] = []

    async def process_frame(self, frame: Any, direction: Any) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, frames.InputAudioRawFrame):
            self.sound = [*self.sound[-1500:], frame]  # of 20 ms
        elif isinstance(frame, frames.ProposedUserStartedSpeakingFrame):
            self.sound = self.sound[-25:]  # half a second before the start was noticed
        elif isinstance(frame, frames.ProposedUserStoppedSpeakingFrame):
            self.turn, self.sound = self.sound, []
        elif isinstance(frame, frames.TranscriptionFrame):
            print("heard:", frame.text)
            context = LLMContext()
            await context.add_audio_frames_message(audio_frames=self.turn, text=self.question)
            await self.push_frame(frames.LLMContextFrame(context))
        await self.push_frame(frame, direction)


async def play(path: str, worker: PipelineWorker) -> None:
    """In place of a microphone: a file at the pace of speech, and two seconds of silence."""
    with wave.open(path) as file:
        rate = file.getframerate()
        sound = file.readframes(file.getnframes()) + bytes(4 * rate)
    for at in range(0, len(sound), rate // 25):
        await worker.queue_frame(frames.InputAudioRawFrame(sound[at : at + rate // 25], rate, 1))
        await asyncio.sleep(0.02)


async def main(path: str = "", question: str = "Describe this audio.", host: str = "") -> None:
    host, model = host or "127.0.0.1:8000", "nano"
    hears = OpenAIRealtimeSTTService(
        api_key="none", base_url=f"ws://{host}/v1/realtime", turn_detection={"type": "server_vad"},
        settings=OpenAIRealtimeSTTService.Settings(model=model),
    )  # fmt: skip
    answers = OpenAILLMService(
        api_key="none", base_url=f"http://{host}/v1",
        settings=OpenAILLMService.Settings(model=model),
    )  # fmt: skip
    parts = [hears, Turns(question), answers]
    if not path:
        from pipecat.transports.local.audio import LocalAudioTransport, LocalAudioTransportParams

        microphone = LocalAudioTransport(LocalAudioTransportParams(audio_in_enabled=True))
        parts.insert(0, microphone.input())
    busy, told = frames.InputAudioRawFrame, (frames.LLMTextFrame, frames.LLMFullResponseEndFrame)
    worker = PipelineWorker(Pipeline(parts), idle_timeout_secs=8, idle_timeout_frames=(busy, *told))
    worker.set_reached_downstream_filter(told)
    worker.add_event_handler(
        "on_frame_reached_downstream",
        lambda _, frame: print(getattr(frame, "text", "\n"), end="", flush=True),
    )
    runner = WorkerRunner()
    await runner.add_workers(worker)
    await asyncio.gather(runner.run(), *([play(path, worker)] if path else []))


logger.configure(handlers=[{"sink": sys.stderr, "level": "ERROR"}])
asyncio.run(main(*sys.argv[1:]))
