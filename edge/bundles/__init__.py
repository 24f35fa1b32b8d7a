"""What a model bundle is, who may sign it, and which one is in force."""
