"""Ordinary plugins that come along; they use what any plugin may use, and nothing else."""
