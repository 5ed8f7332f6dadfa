"""Folders, collections and run files as they are published, each beside its own reference tool."""
