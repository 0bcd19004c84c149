"""livekit's own client of OpenAI's transcription, as it is: `livekit_client.py ADDRESS FILE MODE`.

Hears a recording at the pace of speech and prints a line of JSON for what it is told.
"""

from __future__ import annotations

import asyncio
import json
import sys
import wave

from livekit import rtc
from livekit.agents.utils import http_context
from livekit.plugins import openai


async def main(address: str, path: str, _: str) -> None:
    with wave.open(path) as file:
        rate, data = file.getframerate(), file.readframes(file.getnframes())
    data += bytes(4 * rate)  # two seconds of silence
    async with http_context.open():
        stt = openai.STT(base_url=address, api_key="none", use_realtime=True)
        stream = stt.stream()

        async def speak() -> None:
            step = rate // 25
            for place in range(0, len(data), step):
                piece = data[place : place + step]
                stream.push_frame(rtc.AudioFrame(piece, rate, 1, len(piece) // 2))
                await asyncio.sleep(0.02)

        speaking = asyncio.create_task(speak())
        finals = 0
        async for event in stream:
            text = event.alternatives[0].text if event.alternatives else ""
            print(json.dumps([event.type.value, text]), flush=True)
            finals += event.type.value == "final_transcript"
            if finals == 2:
                break
        speaking.cancel()
        await stream.aclose()
        await stt.aclose()


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 60))
