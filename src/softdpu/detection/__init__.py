"""Detection: label files, the decoding of a detector's outputs to boxes, mAP, a small detector and its loss."""
