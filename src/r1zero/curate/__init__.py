"""`r1zero curate`: the chain of steps, the pass-rate step that needs an engine, and the report."""
