"""Training on rows: fine-tuning, preferences, reward models, distillation, pretraining."""
