"""Networks: encoders of imaging groups, and how a model is kept."""
