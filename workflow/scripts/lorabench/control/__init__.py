"""What the head process needs; no torch, and no stage imports it."""
