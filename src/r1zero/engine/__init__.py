"""From prompts to completions: the interface, how a recipe samples, and the native engine."""
