"""From raw rows to packed batches: sources -> problems -> prompts -> (rollouts) -> packs."""
