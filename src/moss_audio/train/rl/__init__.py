"""Policy gradients: rewards, groups of answers, their loss, and who samples them.

`loss` and `advantage` are arithmetic on tensors, `rewards` on texts; `rollout` says what a sampler
is and `rollout_torch`, `rollout_vllm` are two; `loader` makes batches of what was sampled. The
stage itself is `moss_audio.train.dapo`.
"""
