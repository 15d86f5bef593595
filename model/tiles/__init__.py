"""Images that are segmented by windows: where the windows are, which prompts each gets, and one mask of many pieces."""
