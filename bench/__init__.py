"""What a request costs here and elsewhere, measured side by side in one run."""
