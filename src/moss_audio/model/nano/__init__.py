"""The embedded checkpoint: quantised parts, how they are read, and how they are built.

    config.json              sizes; one model with the released ones
    processor_config.json    ids, time markers, mel settings
    tokenizer.json, ...      SmolLM2's
    fixed-encoder.safetensors  Whisper tiny.en's encoder, 8 bits       never changes
    fixed-decoder.safetensors  SmolLM2-135M-Instruct, 4 bits           never changes
    trained.safetensors        adapter, mergers, LoRA, audio-token rows: what training replaces

`parts` puts them together and `quantize` packs them; `build` makes them out of what `public` reads.
"""
