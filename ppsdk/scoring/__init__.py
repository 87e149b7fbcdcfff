"""Events against what really happened: figures, a picture, and the options that do best."""
