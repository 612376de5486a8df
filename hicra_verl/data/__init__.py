"""Training and benchmark data in verl's format, from the hub or from local files of the hub's layout."""
