"""Parts of the GPU benchmark, `benchmarks.gpu`."""
