// KernelDriver
