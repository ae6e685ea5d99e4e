"""Talks in virtual time."""
