"""From text to the tree: tokens, grammar, statements."""
