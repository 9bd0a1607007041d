"""Row types of the files in which stages meet, one module a kind."""
