"""The config: reading its files, what each section may hold, and every fault in one line."""
