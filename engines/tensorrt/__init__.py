"""Plans of TensorRT and TensorRT-RTX, whichever is installed, on the GPU."""
