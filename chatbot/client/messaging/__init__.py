"""The engine between the wire and the storage: what is received, sent, and sent again."""
