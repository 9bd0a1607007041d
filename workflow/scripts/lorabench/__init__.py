"""lorabench, the package behind the Snakemake rules."""
