"""From the tree back to text, in one canonical layout."""
