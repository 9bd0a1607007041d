"""What describes a finished training and never changes one: counts, shares, documents, the card."""
