"""Builds on a cluster: what their jobs ask for, and whether the cluster is there."""
