// IPAddressingTests
