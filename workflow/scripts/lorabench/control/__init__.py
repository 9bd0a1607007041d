"""What the head process needs: configuration, the plan of runs, checks before a run, predictions.
No torch; no stage imports it."""
