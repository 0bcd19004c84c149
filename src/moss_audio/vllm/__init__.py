"""What vLLM gets from this package beside the configuration: transcriptions over HTTP.

Only vLLM's own processes import these modules; `moss_audio.model.vllm_plugin` tells vLLM of them.
"""
