"""The study: which runs there are, and what they say about the claims."""
