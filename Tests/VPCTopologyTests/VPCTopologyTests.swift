// VPCTopologyTests
