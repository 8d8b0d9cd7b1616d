"""What the handbook's site adds to its generator.

``website.marks`` and ``website.diagrams`` are Python-Markdown extensions, which mkdocs.yml names: they change the HTML
of a page and know no generator. ``python -m website`` makes the files beside the pages, once a generator has built
them. ``website.serve`` is the only hook: what is shown while a page is being written needs MkDocs.
"""
