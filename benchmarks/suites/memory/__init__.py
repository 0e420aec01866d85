"""Optimizers with memory."""
