"""Policy gradients: rewards, groups of answers, their loss, and who samples them.

`loss` and `advantage` are arithmetic on tensors, `rewards` on texts; `rollout` says what a sampler
is, `rollout_engine` is one on the `runners` of this process; `loader` makes batches of what was
sampled. The stage itself is `moss_audio.train.dapo`.
"""
