"""How much the photographs say about each Gaussian of a scene, and about each pixel of a picture taken of it."""
