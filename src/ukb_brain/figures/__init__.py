"""One function a figure; each is stamped where it shows synthetic data."""
