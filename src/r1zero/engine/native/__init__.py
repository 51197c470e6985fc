"""Our own engine: the trainer's model, its weights, and a cache that groups share."""

from r1zero.engine.native.engine import NativeEngine

__all__ = ["NativeEngine"]
