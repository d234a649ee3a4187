"""`--debug`: an exception of the app becomes a page with its traceback, for its developer only.

Werkzeug's DebuggedApplication was looked at first. Without its console it shows no variables, and it hides no
secret, answers curl with HTML, and takes `?__debugger__=` from the app; so the page here is webdemo's own. It
runs no code.
"""
