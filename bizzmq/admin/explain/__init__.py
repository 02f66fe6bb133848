"""Why a message is where it is: one sentence, and the facts behind it."""
