// VPCManifestTests
