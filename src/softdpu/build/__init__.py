"""What only the Snakefile and the rules use: the configuration, what a build needs, and what its rules are given."""
