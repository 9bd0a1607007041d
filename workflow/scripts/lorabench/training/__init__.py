"""Training stage: encode conversations, train the adapter, merge it."""
