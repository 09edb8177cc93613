"""What the commands share that keep files of the gateway's own: keys, users."""
