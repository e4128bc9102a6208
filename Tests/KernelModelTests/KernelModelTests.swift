// KernelModelTests
