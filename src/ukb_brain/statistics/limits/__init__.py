"""What limits legibility: confounds, reliability, data, models, and the verdict."""
