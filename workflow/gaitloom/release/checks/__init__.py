"""What is looked for in a finished release: one module each for words, stamps, members, what a tier holds, and pictures.

`tier_check` runs them with what the laboratory knows, `verify` with nothing but the release.
"""
