"""RUNS IN SERVER PROCESSES THAT SERVE NO APP: the mail catcher and FTP, and the pages that show the mail."""
