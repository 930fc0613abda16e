"""What is known of the layer classes of Keras 2 by their names alone, without TensorFlow."""

from __future__ import annotations

# Layers that make what they read in another form, not in another shape.
KEEP_SHAPE = frozenset(
    (
        *("LayerNormalization", "GroupNormalization", "UnitNormalization", "SyncBatchNormalization"),
        *("VitisLayernorm", "VitisSoftmax", "ThresholdedReLU", "Masking", "SpatialDropout1D", "SpatialDropout3D"),
        *("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness"),
    )
)

# Layers whose output shape the compiler works out of their configuration and weights.
SHAPE_FOLLOWS = frozenset(
    (
        *("InputLayer", "VitisQuantize", "Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense", "SeparableConv2D"),
        *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "VitisSigmoid"),
        *("MaxPooling2D", "AveragePooling2D", "VitisAveragePooling2D", "GlobalMaxPooling2D"),
        *("GlobalAveragePooling2D", "VitisGlobalAveragePooling2D", "Cropping2D", "ZeroPadding2D", "UpSampling2D"),
        *("Add", "Multiply", "Subtract", "Maximum", "Minimum", "Average", "Concatenate"),
        *("Flatten", "Reshape", "Permute", "Rescaling", "Normalization", "BatchNormalization"),
        *("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization"),
        *("TFOpLambda", "SlicingOpLambda", "VitisConvBN", "VitisDepthwiseConvBN"),
        *("VitisConvBNQuantize", "VitisDepthwiseConvBNQuantize"),
    )
)
