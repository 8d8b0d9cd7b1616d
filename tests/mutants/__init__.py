"""Mutation testing of the backend by the handbook: every small change of the code must make a page untrue.

`python -m mutants` changes `backend/src` in one place after another and runs the pages that execute the place, until a
block fails. What no block notices is something that the handbook does not show.
"""
