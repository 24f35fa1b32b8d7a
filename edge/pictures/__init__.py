"""Pictures from anywhere, read with mistrust."""
