"""From rows to answers: what is served, who answers, in how many calls."""
