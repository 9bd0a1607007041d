"""Conversations for training."""
