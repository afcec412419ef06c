"""Play the console blocks of the documentation in real terminals, and compare or write what they print.

The blocks of a page are typed in their order, in one or more terminals, in a fresh clone of this repository. An HTML
comment before a block is its directive: :mod:`walkthrough.page` has the grammar.
``./scripts/transcripts`` writes the pages; ``./scripts/transcripts --check`` and ``tests/test_transcripts.py`` compare.
"""
