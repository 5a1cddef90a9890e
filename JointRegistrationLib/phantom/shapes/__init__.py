"""The shape of a knee: bones and cartilages as implicit functions."""
