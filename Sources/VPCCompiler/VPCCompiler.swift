// VPCCompiler
