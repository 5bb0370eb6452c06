"""One file for each command; `main` imports a command's file only when it is called."""
