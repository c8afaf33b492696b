"""`python -m gaitloom`: what the workflow's rules call."""

from gaitloom.cli import main

main()
