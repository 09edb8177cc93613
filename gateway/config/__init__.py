"""YAML to Config to Snapshot."""
