"""A fault box: whatever may go wrong around a bot, made to go wrong by seed."""
