"""Baselines that show a dataset is learnable, and the trainer that runs them."""
