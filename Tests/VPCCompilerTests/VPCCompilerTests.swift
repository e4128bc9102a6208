// VPCCompilerTests
