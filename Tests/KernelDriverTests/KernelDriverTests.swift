// KernelDriverTests
