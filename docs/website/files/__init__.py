"""The files beside the pages, made once a generator has built the site."""
