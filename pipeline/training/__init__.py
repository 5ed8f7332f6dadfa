"""Training: batches and negatives, losses, LightningModules, checkpoints, stages and the run folder."""
