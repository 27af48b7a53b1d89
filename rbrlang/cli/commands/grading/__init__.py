"""Commands that ask graders, and that write for them."""
