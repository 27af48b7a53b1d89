"""Commands that judge graders, teach them, or let people label."""
