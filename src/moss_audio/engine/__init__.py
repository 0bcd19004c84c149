"""Engines turn prompts with clips into text; one small protocol, described in `base`.

`torch_engine` runs the model in this process. Importing this package brings in no torch.
"""

from __future__ import annotations

from moss_audio.engine.base import Engine, Generation, GenerationOptions, Request, Session

__all__ = ["Engine", "Generation", "GenerationOptions", "Request", "Session"]
