"""What each server does with the same requests: the corpus, and the app's own paths."""
