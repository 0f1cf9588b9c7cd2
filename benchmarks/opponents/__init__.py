"""What charlm is held against, written as its users write it. Each takes over charlm's weights by their names."""
