"""What the predictions are worth: metrics, intervals, tables and models of the grid."""
