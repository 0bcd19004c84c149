"""Runs prompts through vLLM in a process of its own: `python vllm_worker.py JOB.json OUT.json`.

JOB holds the folder, vLLM's engine options and the requests: a name, a prompt or messages, the
clips (.npy, float32 at 16 kHz) and the processor's options. OUT gets, for each, the prompt's ids,
the greedy tokens and their log-probabilities. Nothing here imports moss_audio: what vLLM knows of
it, it knows through its plug-in.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(job_file: str, out_file: str) -> None:
    """Serve every request of the job, one at a time."""
    import numpy as np
    from vllm import LLM, SamplingParams

    job = json.loads(Path(job_file).read_text())
    llm = LLM(model=job["folder"], **job["engine"])
    sampling = SamplingParams(temperature=0.0, max_tokens=job["max_tokens"], logprobs=1)
    answers: list[dict[str, Any]] = []
    for request in job["requests"]:
        if "messages" in request:
            outputs = llm.chat(request["messages"], sampling, use_tqdm=False)
        else:
            prompt: dict[str, Any] = {"prompt": request["prompt"]}
            if request["clips"]:
                prompt["multi_modal_data"] = {"audio": [np.load(c) for c in request["clips"]]}
            if request["options"]:
                prompt["mm_processor_kwargs"] = request["options"]
            # One at a time: vLLM pads the clips of all prompts of a step together.
            outputs = llm.generate([prompt], sampling, use_tqdm=False)
        [result] = outputs
        best = result.outputs[0]
        answers.append(
            {
                "name": request["name"],
                "prompt_ids": list(result.prompt_token_ids),
                "tokens": list(best.token_ids),
                "logprobs": [
                    step[token].logprob
                    for step, token in zip(best.logprobs, best.token_ids, strict=True)
                ],
            }
        )
    Path(out_file).write_text(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
