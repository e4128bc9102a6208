// swift-tools-version: 6.2
import PackageDescription

/// Settings of every Swift target: the upcoming `any` spelling is already required. Continuous integration takes no
/// warning; elsewhere another compiler's new ones are to stop nobody.
let swiftSettings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
    ] + (Context.environment["CI"] == "true" ? [.treatAllWarnings(as: .error)] : [])

func module(_ name: String, _ dependencies: [Target.Dependency] = [], extra: [SwiftSetting] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings + extra)
}

func tool(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name,
        dependencies: dependencies + [.product(name: "ArgumentParser", package: "swift-argument-parser")],
        swiftSettings: swiftSettings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: swiftSettings)
}

let package = Package(
    name: "vpcctl",
    products: [
        .executable(name: "vpcctl", targets: ["vpcctl"]),
        .executable(name: "vpcd", targets: ["vpcd"]),
        .executable(name: "vpcgw", targets: ["vpcgw"]),
        .executable(name: "vpclab", targets: ["vpclab"]),
        .library(name: "Netlink", targets: ["Netlink", "KernelNames", "NFTables", "KernelModel", "KernelDriver"]),
        .library(name: "VPC", targets: ["VPCManifest", "VPCTopology", "VPCCompiler"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.14.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.4.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.34.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.0.0"),
    ],
    targets: [
        // Pure values.
        module("IPAddressing"),
        module("VPCModel", ["IPAddressing"]),
        module("VPCManifest", ["CYAML", "IPAddressing", "VPCModel"]),
        module("VPCTopology", ["IPAddressing", "VPCModel"]),
        module("KernelNames"),
        module("NFTables", ["IPAddressing", "KernelNames"]),
        module("KernelModel", ["IPAddressing", "KernelNames", "NFTables"]),
        module("VPCCompiler", ["IPAddressing", "KernelModel", "KernelNames", "NFTables", "VPCModel", "VPCTopology"]),
        module("VPCTrace", ["IPAddressing", "VPCCompiler", "VPCModel", "VPCTopology"]),
        // The kernel.
        .target(name: "CLinux"),
        .systemLibrary(name: "CMNL", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
        // Its headers lie in a folder of their own. Not by pkg-config, which would have every program load it at its start.
        .target(name: "CLibNL", cSettings: [.unsafeFlags(["-I/usr/include/libnl3"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        // Its readers are views that the compiler keeps from outliving the bytes they read.
        module("Netlink", ["CLinux", "CMNL"], extra: [.enableExperimentalFeature("Lifetimes")]),
        module("KernelDriver", ["CLinux", "IPAddressing", "KernelModel", "KernelNames", "NFTables", "Netlink"]),
        module("KernelWitness", ["CLibNL", "CLinux", "IPAddressing", "KernelModel", "KernelNames", "Netlink"]),
        module(
            "Reconciler",
            ["IPAddressing", "KernelModel", "KernelNames", "NFTables", "VPCCompiler", "VPCModel", "VPCTopology"]),
        module("Console"),
        .target(name: "CTraffic"),
        module("Traffic", ["CLinux", "CTraffic", "IPAddressing", "Netlink"]),
        // To authenticate with: Debian's, so that Debian mends it.
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        module("DHCP", ["IPAddressing", "Traffic"]),
        // Load balancers of HTTP, by Debian's HAProxy.
        module("HTTPBalancer", ["CTLS", "IPAddressing", "Netlink"]),
        .systemLibrary(name: "CTLS", pkgConfig: "libssl", providers: [.apt(["libssl-dev"])]),
        module("Liveness", ["COpenSSL", "CTLS", "CTraffic", "IPAddressing", "Netlink", "Traffic"]),
        // How vpcgw is asked. Apart, so that who asks need not load what it takes to answer.
        module("GatewayControl"),
        // Who of two gateways is active, and the connections that they share.
        module(
            "GatewayPair",
            [
                "CLinux", "COpenSSL", "CTLS", "CTraffic", "GatewayControl", "IPAddressing", "KernelDriver",
                "KernelModel", "Liveness", "Netlink", "Traffic", "VPCCompiler",
            ]),
        module(
            "VPCLab",
            [
                "CTraffic", "GatewayControl", "IPAddressing", "KernelDriver", "KernelModel", "KernelNames", "Netlink",
                "Reconciler", "Traffic", "VPCCompiler", "VPCModel", "VPCTopology",
            ]),
        module(
            "Presentation",
            ["KernelModel", "KernelNames", "Reconciler", "VPCCompiler", "VPCManifest", "VPCModel", "VPCTopology"]),
        // The daemon.
        module(
            "Agent",
            [
                "CLinux", "DHCP", "GatewayControl", "HTTPBalancer", "IPAddressing", "KernelDriver", "KernelModel",
                "KernelNames", "Liveness",
                "NFTables", "Netlink", "Reconciler", "Traffic", "VPCCompiler", "VPCManifest", "VPCModel", "VPCTopology",
                .product(name: "Logging", package: "swift-log"),
            ]),
        .target(name: "COpenAPI"),
        module(
            "AgentServer",
            [
                "Agent", "COpenAPI", "GatewayControl", "KernelModel", "KernelNames", "Presentation", "Reconciler",
                "VPCManifest", "VPCModel", "VPCTopology",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOExtras", package: "swift-nio-extras"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),
        module("AgentClient", ["VPCManifest"]),
        // Executables.
        module(
            "CommandOptions",
            [
                "Console", "VPCManifest", "VPCModel", "VPCTopology",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        tool(
            "vpcctl",
            [
                "AgentClient", "CommandOptions", "Console", "GatewayControl", "IPAddressing", "KernelDriver",
                "KernelModel", "KernelNames", "KernelWitness", "NFTables", "Netlink", "Presentation", "Reconciler",
                "Traffic",
                "VPCCompiler", "VPCManifest", "VPCModel", "VPCTopology", "VPCTrace",
            ]),
        tool(
            "vpclab",
            [
                "CommandOptions", "Console", "Reconciler", "VPCLab", "VPCManifest", "VPCModel", "VPCTopology",
            ]),
        tool(
            "vpcd",
            [
                "Agent", "AgentServer", "CLinux", "CommandOptions", "Console", "VPCManifest",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),
        tool("vpcgw", ["CommandOptions", "Console", "GatewayControl", "GatewayPair"]),
        // Tests.
        .target(name: "CTestSupport", path: "Tests/CTestSupport"),
        .target(
            name: "TestSupport", dependencies: ["CTestSupport", "IPAddressing", "VPCModel"], path: "Tests/TestSupport",
            exclude: ["Web"], swiftSettings: swiftSettings),
        .target(
            name: "FakeKernel", dependencies: ["IPAddressing", "KernelModel", "KernelNames", "NFTables"],
            path: "Tests/FakeKernel",
            swiftSettings: swiftSettings),
        tests("IPAddressingTests", ["IPAddressing", "TestSupport"]),
        tests(
            "VPCManifestTests",
            [
                "IPAddressing", "TestSupport", "VPCManifest", "VPCModel", "Yams",
            ], exclude: ["Golden", "AgentGolden"]),
        tests(
            "VPCTopologyTests",
            [
                "IPAddressing", "TestSupport", "VPCManifest", "VPCModel", "VPCTopology",
            ], exclude: ["Golden"]),
        tests("KernelModelTests", ["IPAddressing", "KernelModel", "KernelNames", "NFTables", "TestSupport"]),
        tests(
            "VPCCompilerTests",
            [
                "IPAddressing", "KernelModel", "KernelNames", "NFTables", "TestSupport", "VPCCompiler", "VPCManifest",
                "VPCModel", "VPCTopology",
            ], exclude: ["Golden"]),
        tests(
            "VPCTraceTests",
            ["IPAddressing", "TestSupport", "VPCCompiler", "VPCManifest", "VPCModel", "VPCTopology", "VPCTrace"]),
        tests("NetlinkTests", ["CLinux", "Netlink", "TestSupport"]),
        tests("DHCPTests", ["DHCP", "IPAddressing", "TestSupport", "Traffic"]),
        tests("HTTPBalancerTests", ["HTTPBalancer", "IPAddressing", "Netlink", "TestSupport"]),
        tests("LivenessTests", ["IPAddressing", "Liveness", "Netlink", "TestSupport"]),
        tests("GatewayPairTests", ["GatewayPair", "IPAddressing", "Netlink", "TestSupport"]),
        tests("TrafficTests", ["IPAddressing", "Netlink", "TestSupport", "Traffic"]),
        tests(
            "KernelDriverTests",
            [
                "CLinux", "FakeKernel", "IPAddressing", "KernelDriver", "KernelModel", "KernelNames", "KernelWitness",
                "NFTables", "Netlink", "TestSupport",
            ]),
        tests(
            "ReconcilerTests",
            [
                "FakeKernel", "IPAddressing", "KernelModel", "KernelNames", "Reconciler", "TestSupport", "VPCCompiler",
                "VPCManifest", "VPCTopology",
            ]),
        tests(
            "AgentTests",
            [
                "Agent", "FakeKernel", "IPAddressing", "KernelDriver", "KernelModel", "KernelNames", "Liveness",
                "NFTables",
                "Netlink", "Reconciler", "TestSupport", "VPCCompiler", "VPCManifest", "VPCModel", "VPCTopology",
                .product(name: "Logging", package: "swift-log"),
            ]),
        tests(
            "AgentServerTests",
            [
                "Agent", "AgentClient", "AgentServer", "KernelDriver", "KernelModel", "Netlink", "TestSupport",
                "VPCManifest", "VPCModel",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], exclude: ["check_openapi.py", "check_openmetrics.py", "hold_connections.py", "squat.py"]),
        tests("ConsoleTests", ["Console", "TestSupport"]),
        tests("CommandTests", ["Netlink", "TestSupport"]),
        tests(
            "LabTests",
            [
                "Agent", "CLinux", "CTraffic", "GatewayControl", "IPAddressing", "KernelDriver", "KernelModel",
                "KernelNames", "KernelWitness", "Liveness", "NFTables", "Netlink", "Reconciler", "TestSupport",
                "Traffic",
                "VPCCompiler",
                "VPCLab",
                "VPCManifest", "VPCModel", "VPCTopology", "VPCTrace",
                .product(name: "Logging", package: "swift-log"),
            ]),
    ],
    swiftLanguageModes: [.v6]
)
