"""What describes a finished training and changes none: counts, shares of a peak, documents, the
model card."""
