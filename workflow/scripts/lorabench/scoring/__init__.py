"""From item rows to scores, paired differences, tests and verdicts."""
