"""Lies: pages altered in one place each, to see whether the page notices.

The handbook's promise is that each thing which a block shows is checked. This measures it: one word, line or statement
of a page is altered, and the page has to fail. What does not fail is a *survivor*: either the block shows something
that does not matter, or the harness has a hole.

Data flows one way: a page's blocks are altered (`lie`, and one module for each kind of text: `outputs`, `sql`, `code`,
`commands`, `data`), each altered block is judged without running it where that is possible (`verdict`), and run where
it is not (`trial`, from a `snapshot` of the page just above the block, in one of a few `worker` processes), and what
became of the lies is told (`report`).
"""
