"""What is looked for in a finished release: words, stamps, members, what a tier holds, pictures.

`tier_check` runs them with what the laboratory knows, `verify` with nothing but the release.
"""
