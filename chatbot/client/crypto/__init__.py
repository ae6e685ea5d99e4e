"""The encrypted session, sans-I/O: no socket, file, clock or logger; state in, state out.

A file a concept: `identity`, `keys`, `x3dh`, `kdf`, `message`, `ratchet`, `session`, and
`session_manager`, which holds all sessions with one peer. `vault` seals what is at rest.
"""
