"""Any transformers causal language model: loading, attention over shared prompts, log-probabilities in chunks."""
