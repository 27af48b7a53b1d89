"""Commands around the others: a first project, the demo, editors, shells."""
