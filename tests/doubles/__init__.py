"""Stand-ins for what the tests need to misbehave on demand."""
