"""Evaluation by the paper's protocol, and the paper's tables with our results beside its numbers."""
