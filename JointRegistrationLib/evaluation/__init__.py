"""Evaluation on pairs with label maps: what is registered, how it is scored, and the table it ends in."""
