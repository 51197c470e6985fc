"""Reinforcement learning: the loop, its parts, and what it remembers."""
