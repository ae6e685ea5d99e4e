"""What a plugin *is*: declarations, arguments, filters, hooks, and the types it meets.

Plugin authors import everything from `chatbot` itself. In the order of a plugin's life:
`plugin.py` records declarations, `loader.py` finds and checks plugins, `compiler.py` analyses
every signature once, `arguments.py` reads what a person typed.
"""
