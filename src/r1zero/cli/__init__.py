"""One small file per command; heavy imports happen inside the commands."""
