"""What `make demo` runs: the embedded checkpoint on four clips whose content is known."""

from __future__ import annotations

import json
from pathlib import Path

import moss_audio

HERE = Path(__file__).parent


def main() -> None:
    truth = json.loads((HERE / "examples.json").read_text(encoding="utf-8"))
    model = moss_audio.load("nano")

    spoken = truth["speech.wav"]
    result = model.transcribe(HERE / "speech.wav", timestamps="word")
    print("speech.wav, transcribed with word times")
    print(f"  is:    {spoken['text']}")
    print(f"  heard: {result.text}")
    print("  word           heard at        is at")
    exact = dict(enumerate(spoken["words"]))
    for i, word in enumerate(result.words):
        real = exact.get(i)
        beside = f"{real['text']:14s} {real['start']:5.2f} - {real['end']:5.2f}" if real else ""
        print(f"  {word.text:14s} {word.start:5.2f} - {word.end:5.2f}   {beside}")

    print("\nprompt.wav, a human voice on the telephone, transcribed")
    print(f"  is:    {truth['prompt.wav']['text']}")
    print(f"  heard: {model.transcribe(HERE / 'prompt.wav').text}")

    print("\nevents.wav, its timeline")
    for event in truth["events.wav"]["events"]:
        print(f"  is:    {event['start']:5.2f} - {event['end']:5.2f}  {event['label']}")
    for heard in model.events(HERE / "events.wav").events:
        print(f"  heard: {heard.start:5.2f} - {heard.end:5.2f}  {heard.label}")

    question = "How long is the pause between the phone and the siren?"
    phone, siren = truth["events.wav"]["events"][1:]
    thought = model.ask(HERE / "events.wav", question, thinking=True)
    print(f"\nevents.wav, a question that takes a thought\n  {question}")
    print(*(f"    {line}" for line in (thought.thinking or "").strip().splitlines()), sep="\n")
    print(f"  is:    {siren['start'] - phone['end']:.1f} seconds.\n  heard: {thought.text}")

    music = truth["music.wav"]["music"]
    print("\nmusic.wav, questions")
    for question, answer in (
        ("Is anyone speaking in this recording?", "No."),
        ("Which instrument plays?", music["instrument"].capitalize() + "."),
    ):
        print(f"  {question}")
        print(f"    is:    {answer}\n    heard: {model.ask(HERE / 'music.wav', question).text}")


if __name__ == "__main__":
    main()
