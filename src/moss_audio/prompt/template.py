"""The same prompt as a chat template, for engines that render text themselves (vLLM, llama.cpp).

The text it yields, tokenised piece by piece around the placeholders, gives `render`'s ids. It
can't protect against control tokens typed by a user: a template only makes text. Source: spec
section 1.5.
"""

from __future__ import annotations

import json

AUDIO_PLACEHOLDER = "<|audio_bos|><|AUDIO|><|audio_eos|>"

_TEMPLATE = """\
{%- if messages[0].role != 'system' and @SYSTEM@ is not none %}
    {{- '<|im_start|>system\\n' ~ @SYSTEM@ ~ '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' and message.thinking is string %}
        {{- '<think>\\n' + message.thinking.strip() + '\\n</think>\\n\\n' }}
    {%- endif %}
    {%- set turn = namespace(text='', after_audio=false) %}
    {%- if message.content is string %}
        {%- set turn.text = message.content %}
    {%- else %}
        {%- for part in message.content %}
            {%- if part.type == 'audio' %}
                {%- set turn.text = turn.text + '@PLACEHOLDER@' %}
                {%- set turn.after_audio = true %}
            {%- elif part.type == 'text' and part.text %}
                {%- set turn.text = turn.text + ('\\n' if turn.after_audio else '') + part.text %}
                {%- set turn.after_audio = false %}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- turn.text.lstrip() if message.role == 'assistant' else turn.text }}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""


def chat_template(default_system: str | None = "You are a helpful assistant.") -> str:
    """The text of `chat_template.jinja`.

    Variables: messages, add_generation_prompt, enable_thinking. Audio parts become
    `AUDIO_PLACEHOLDER`.
    """
    system = "none" if default_system is None else json.dumps(default_system, ensure_ascii=False)
    return _TEMPLATE.replace("@SYSTEM@", system).replace("@PLACEHOLDER@", AUDIO_PLACEHOLDER)
