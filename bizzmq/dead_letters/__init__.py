"""Dead letters: find them by what failed, group them, replay them as they are or edited, and delete old ones."""
