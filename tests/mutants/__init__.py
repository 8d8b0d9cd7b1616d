"""Mutants: the backend changed in one place each, to see whether its tests notice.

Data flows one way: a file's mutants are made (`mutant`), one run of the tests tells which of them reach which lines
(`reach`, with a plugin of pytest's in `recorder`), each mutant is written into a copy of the checkout on which those
tests run (`bench`, `suite`), and what nobody noticed is told (`report`), but for what is known to make no difference
(`reviewed`).
"""
