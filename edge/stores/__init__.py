"""How files and SQLite databases are opened, written whole and mistrusted."""
