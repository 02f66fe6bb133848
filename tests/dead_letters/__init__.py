"""Dead letters: groups, filters, replays, edits, the debugger, and retention."""
