"""One file for a site: its model, its cameras, and where their events go."""
