"""Raw rows: from files, generated tasks and hubs, with places a person can find again."""
