"""Training, a file a stage: `encoder`, `align`, `pretrain`, `sft`. What they share is in `loop` and
`trainer` (steps, checkpoints, stopping), `objective` and `listen` (losses), `setup` and `export`.
"""

from moss_audio.errors import require

require("torch", "transformers", extra="train", purpose="moss_audio.train")
