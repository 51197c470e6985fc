"""What every program shares: session, run folder, checkpoints, metrics and their sinks, a clean stop."""
