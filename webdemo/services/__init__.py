"""The mail catcher and the FTP server, which run in server processes that serve no app.

The pages that show the mail (`mail_pages`) run in the demo app's server processes.
"""
