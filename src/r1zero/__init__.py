"""r1zero: reinforcement learning with verifiable rewards, the R1-Zero recipe. Start reading at `rl/loop.py`."""

__version__ = "0.1.0"
