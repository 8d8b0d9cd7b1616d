"""The harness between the handbook's pages, Sybil and PostgreSQL.

Data flows one way: a page's text is rendered (`rendering`), read into blocks (`reading`, `block`), run in a workspace
(`run`, `workspace`, and one module for each kind of block), compared with what the page shows (`output`), and
recorded (`proof`). `plugin` ties these to pytest.
"""
