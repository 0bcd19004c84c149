"""moss-audio on Ray Serve: every replica holds the model, and Ray's proxy shares requests out.

    pip install 'ray[serve]>=2.55' '.[serve]'
    export MOSS_AUDIO_API_KEYS=sesame
    serve run --app-dir deploy ray_serve:app model=nano replicas=2 threads=1

docs/deploy.md has more.
"""

from __future__ import annotations

import os
from typing import Any

from ray import serve

import moss_audio
from moss_audio.serve.app import build
from moss_audio.serve.config import ServerConfig
from moss_audio.serve.cost import listening_cost
from moss_audio.serve.service import Service


@serve.deployment(
    # More than a replica's own limits let in (running, waiting and live): it is the replica that
    # refuses, in OpenAI's form and with Retry-After.
    max_ongoing_requests=64,
    max_queued_requests=64,
    health_check_period_s=5,
    health_check_timeout_s=10,
    graceful_shutdown_timeout_s=60,  # running requests and live sessions when a replica goes
)
@serve.ingress()
class MossAudioReplica:
    """One model, one queue, as one `moss-audio serve`."""

    def __init__(self, model: str, threads: int | None, keys: tuple[str, ...]) -> None:
        loaded = moss_audio.load(model, threads=threads)
        host = "0.0.0.0" if keys else "127.0.0.1"  # whoever reaches the proxy reaches a replica
        config = ServerConfig(host=host, names=(os.path.basename(model),), keys=keys)
        cost = listening_cost(loaded.engine)
        self.service = Service(loaded, config, cost.speech_s, cost.sessions)

    def __serve_build_asgi_app__(self) -> Any:
        return build(self.service)

    def check_health(self) -> None:
        """Ray replaces a replica whose model's threads have died."""
        if not self.service.threads.alive:
            raise RuntimeError("a thread of the model has ended")


def app(args: dict[str, str]) -> serve.Application:
    """The application for `serve run`; `args` are its NAME=VALUE: model, replicas, threads, cpus,
    gpus (of a replica)."""
    keys = tuple(os.environ.get("MOSS_AUDIO_API_KEYS", "").split())
    threads = int(args["threads"]) if "threads" in args else None
    needs = {"num_cpus": float(args.get("cpus", 1)), "num_gpus": float(args.get("gpus", 0))}
    deployed = MossAudioReplica.options(
        num_replicas=int(args.get("replicas", 1)), ray_actor_options=needs
    )
    return deployed.bind(args.get("model", "nano"), threads, keys)
