"""How a decision came about, step by step, and how that is told."""
