"""What an operator does to an account: the same operations on a running bot and on its files."""
