"""The work cell: a rendered bench with known truth, and the model that was trained on it."""
