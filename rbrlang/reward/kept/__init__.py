"""A reward as a file: what it holds, who signed it, and what of it is believed."""
