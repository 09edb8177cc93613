"""Keys, files and a service for trying things out."""
