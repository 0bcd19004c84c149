"""Training, a file a stage: `align`, `sft`; what they share is in `loop`, `samples`, `setup`."""
