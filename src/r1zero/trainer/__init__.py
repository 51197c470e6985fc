"""From packs to new weights."""
