"""Reinforcement learning: the loop, its stages from prompts to new weights, and what it remembers."""
