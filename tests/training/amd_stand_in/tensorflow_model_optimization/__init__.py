"""The import path of AMD's quantizer."""
