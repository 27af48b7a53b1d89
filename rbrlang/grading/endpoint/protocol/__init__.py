"""How a server is asked, and what its reply says: requests, log-probabilities, thoughts, lines."""
