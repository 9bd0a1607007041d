"""Inference stage: measure latency, throughput and memory."""
