"""What training again on other people shows: learning curves, sites left out, larger models."""
