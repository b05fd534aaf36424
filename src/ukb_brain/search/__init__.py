"""Search of settings: what is tried, on whom it is judged, and what is kept of it."""
