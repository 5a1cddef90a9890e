"""The scene as a whole: changes that are all made or none, what it holds, what its views show."""
