"""What each input adds: paired comparisons, Shapley values, the study's mixed models."""
