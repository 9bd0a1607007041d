"""What tells about a training and changes none: counts, shares of a peak, documents, the model
card."""
