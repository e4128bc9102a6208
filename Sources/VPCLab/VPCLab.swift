// VPCLab
