"""Play the console blocks of the documentation in real terminals, and compare or write what they print.

A page is a story: its blocks are typed in their order, in one or more terminals, in a fresh clone of this repository.
What stands before a block as an HTML comment says how: :mod:`walkthrough.page` has the grammar.
``./scripts/transcripts`` writes the pages; ``./scripts/transcripts --check`` and ``tests/test_transcripts.py`` compare.
"""
