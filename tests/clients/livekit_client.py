"""livekit's own client of OpenAI's transcription, as it is: `livekit_client.py ADDRESS FILE MODE`.

MODE is `rest`, a whole recording, or `server`, one at the pace of speech whose turns the server
finds. Prints a line of JSON for what it is told.
"""

from __future__ import annotations

import asyncio
import json
import sys
import wave

from livekit import rtc
from livekit.agents.utils import http_context
from livekit.plugins import openai


def say(kind: str, text: str) -> None:
    print(json.dumps([kind, text]), flush=True)


async def rest(address: str, rate: int, data: bytes) -> None:
    stt = openai.STT(base_url=address, api_key="none")
    said = await stt.recognize(rtc.AudioFrame(data, rate, 1, len(data) // 2))
    say(said.type.value, said.alternatives[0].text)
    await stt.aclose()


async def server(address: str, rate: int, data: bytes) -> None:
    data += bytes(4 * rate)  # two seconds of silence
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
        say(event.type.value, event.alternatives[0].text if event.alternatives else "")
        finals += event.type.value == "final_transcript"
        if finals == 2:
            break
    speaking.cancel()
    await stream.aclose()
    await stt.aclose()


async def main(address: str, path: str, mode: str) -> None:
    with wave.open(path) as file:
        rate, data = file.getframerate(), file.readframes(file.getnframes())
    async with http_context.open():
        await {"rest": rest, "server": server}[mode](address, rate, data)


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 60))
