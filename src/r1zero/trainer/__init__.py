"""From packs to new weights: the interface, and the trainer of one process."""
