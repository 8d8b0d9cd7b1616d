"""What `make lies` and `make mutants` share: workers, figures, and what a branch has changed."""
