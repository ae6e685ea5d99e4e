"""One running bot: from a decrypted message to a handler, and from its answer back.

The pure parts: `routing.py` finds the command, `table.py` holds all of one assembly, `dispatch.py`
walks a message through it, `middleware.py` builds the onions, `permissions.py` decides who may,
`limits.py` how often, `triggers.py` when.
"""
