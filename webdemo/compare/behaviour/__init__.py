"""Behaviour: what each server does with the same requests, for the corpus and for the app's own paths."""
