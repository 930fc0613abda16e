"""Looking into .xmodel files: what they hold, how two differ, their weights, and the DPU that they are for."""
