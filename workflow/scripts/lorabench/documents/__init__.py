"""Types of the files that cross a stage."""
