"""The cryptography of PROTOCOL.md 1 and 4, sans-I/O: state in, state out.

Read `keys`, `identity` and `kdf` first, then `x3dh`, `message` and `ratchet`; `session` and
`session_manager` say which ratchet a message belongs to, `vault` how anything rests on the disk.
"""
