"""What reads the machine, shows progress and notes versions: no result has a bit from here."""
