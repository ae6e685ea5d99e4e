"""What survives a restart: two SQLite files for an account, and the one writer in front of each."""
