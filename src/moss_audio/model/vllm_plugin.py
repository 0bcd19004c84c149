"""vLLM's plug-in: with this package installed beside vLLM, our folders need no remote code.

vLLM carries the architecture (`MossAudioModel`) but reads the configuration through transformers'
`AutoConfig`, which does not know `moss_audio`. The entry point of group `vllm.general_plugins` is
called in every vLLM process, before any configuration is read. vLLM itself is never imported here.
"""

from __future__ import annotations


def register() -> None:
    """Make `AutoConfig` know `moss_audio`. Harmless when called twice, or without vLLM."""
    from moss_audio import model

    model.register()
