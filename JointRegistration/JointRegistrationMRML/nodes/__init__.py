"""MRML nodes read into arrays and made from them; every node in world RAS."""
