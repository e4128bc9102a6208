// VPCManifest
