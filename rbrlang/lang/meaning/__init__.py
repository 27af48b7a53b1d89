"""From the tree to the program: names, formulas, rules, blocks."""
