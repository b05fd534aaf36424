"""Pages and texts: the report, the dashboard, the summary, the bundle."""
