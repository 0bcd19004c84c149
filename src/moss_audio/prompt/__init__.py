"""The only prompt renderer: messages in; token ids, audio mask and loss mask out.

Inference, fine-tuning, RL and serving all call `render`, so a model is always trained on the
very ids that it later sees. Source: spec section 1.5.
"""

from __future__ import annotations

from moss_audio.prompt.markers import expand_clip, marker_seconds
from moss_audio.prompt.messages import (
    AudioPart,
    TextPart,
    Turn,
    audio_parts,
    check_clips,
    check_end,
    ends_answered,
    parse_messages,
)
from moss_audio.prompt.render import PromptSpec, Rendered, count_placeholders, render, render_raw
from moss_audio.prompt.template import AUDIO_PLACEHOLDER, chat_template
from moss_audio.prompt.vocabulary import ChatVocabulary

__all__ = [
    "AUDIO_PLACEHOLDER",
    "AudioPart",
    "ChatVocabulary",
    "PromptSpec",
    "Rendered",
    "TextPart",
    "Turn",
    "audio_parts",
    "chat_template",
    "check_clips",
    "check_end",
    "count_placeholders",
    "ends_answered",
    "expand_clip",
    "marker_seconds",
    "parse_messages",
    "render",
    "render_raw",
]
