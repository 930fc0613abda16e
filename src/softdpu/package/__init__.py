"""The folder for the SD card: what is in it, how it is made, how it is proven to be the network that was trained.

manifest: the list of files with checksums. card: makes the folder. golden: vectors for the app's --check.
readme: the text for the board. check: card folder against the quantized Keras model. ladder: all accuracies at once.
"""
