"""lorabench: fine-tune, evaluate, measure and report a LoRA adapter; the package behind the
Snakemake rules."""
