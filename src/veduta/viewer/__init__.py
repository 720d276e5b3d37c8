"""Looking at runs: a page in the browser that lives with a fit, and a report that is one file."""
