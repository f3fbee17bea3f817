"""`python -m connector`: the `commensal` command where the script is not on the path."""

from connector.cli import main

main()
