"""The `acme` command: a module a command, heavy imports inside."""
