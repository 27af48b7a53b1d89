"""Commands that ask graders, and that ask how good they are."""
