"""What every suite stands on: plans of cells, the runner that makes each once, their files, the report."""
