"""What stands in the documentation works: it is tried, or the page says why not."""
