"""One page about finished folders: what was run, what came out, and what may be said of it."""
