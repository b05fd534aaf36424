"""What a cell scores: metrics, folds and seeds, the map and its tables."""
