// swift-tools-version: 6.1
import PackageDescription

/// Settings of every Swift target: the upcoming `any` spelling is already required, warnings are errors in `make lint`.
let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

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
        .executable(name: "vpclab", targets: ["vpclab"]),
        .library(name: "Netlink", targets: ["Netlink", "KernelModel", "KernelDriver"]),
        .library(name: "VPC", targets: ["VPCManifest", "VPCTopology", "VPCCompiler"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.14.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.34.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.0.0"),
    ],
    targets: [
        // Pure values.
        module("IPAddressing"),
        module("VPCModel", ["IPAddressing"]),
        module("VPCManifest", ["VPCModel", "CYAML"]),
        module("VPCTopology", ["VPCModel"]),
        module("KernelModel", ["IPAddressing"]),
        module("VPCCompiler", ["VPCTopology", "KernelModel"]),
        module("VPCTrace", ["VPCCompiler"]),
        // The kernel.
        .target(name: "CLinux"),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        // Its readers are views that the compiler keeps from outliving the bytes they read.
        module("Netlink", ["CLinux"], extra: [.enableExperimentalFeature("Lifetimes")]),
        module("KernelDriver", ["CLinux", "Netlink", "KernelModel"]),
        module("Reconciler", ["VPCCompiler", "KernelDriver"]),
        module("Console"),
        .target(name: "CTraffic"),
        module("Traffic", ["CTraffic", "Netlink", "IPAddressing"]),
        module("VPCLab", ["CLinux", "Traffic", "Reconciler", "VPCManifest", "Console"]),
        module("Presentation", ["Reconciler", "VPCCompiler", "KernelModel", "VPCManifest", "VPCTopology"]),
        // The daemon.
        module(
            "Agent",
            [
                "Reconciler", "KernelDriver", "VPCManifest", "VPCTopology", "Traffic",
                .product(name: "Logging", package: "swift-log"),
            ]),
        .target(name: "COpenAPI"),
        module(
            "AgentServer",
            [
                "Agent", "Presentation", "COpenAPI",
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOExtras", package: "swift-nio-extras"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),
        module("AgentClient", ["VPCManifest"]),
        // Executables.
        module(
            "CommandOptions",
            [
                "VPCModel", "VPCManifest", "VPCTopology", "Console",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        tool("vpcctl", ["CommandOptions", "VPCTrace", "Reconciler", "Presentation", "AgentClient", "Traffic"]),
        tool("vpclab", ["CommandOptions", "VPCLab"]),
        tool("vpcd", ["CommandOptions", "AgentServer"]),
        // Tests.
        .target(name: "CTestSupport", path: "Tests/CTestSupport"),
        .target(
            name: "TestSupport", dependencies: ["CTestSupport"], path: "Tests/TestSupport",
            swiftSettings: swiftSettings),
        tests("IPAddressingTests", ["IPAddressing", "TestSupport"]),
        tests("VPCManifestTests", ["VPCManifest", "Yams", "TestSupport"], exclude: ["Golden", "AgentGolden"]),
        tests("VPCTopologyTests", ["VPCTopology", "VPCManifest", "TestSupport"], exclude: ["Golden"]),
        tests("KernelModelTests", ["KernelModel", "TestSupport"]),
        tests("VPCCompilerTests", ["VPCCompiler", "VPCManifest", "TestSupport"], exclude: ["Golden"]),
        tests("VPCTraceTests", ["VPCTrace", "VPCManifest"]),
        tests("NetlinkTests", ["Netlink", "TestSupport"]),
        tests("TrafficTests", ["Traffic", "TestSupport"]),
        tests("KernelDriverTests", ["KernelDriver", "TestSupport"]),
        tests("AgentTests", ["Agent", "Netlink", "TestSupport"]),
        tests(
            "AgentServerTests", ["AgentServer", "AgentClient", "Netlink", "TestSupport"],
            exclude: ["check_openapi.py", "check_openmetrics.py"]),
        tests("ConsoleTests", ["Console"]),
        tests("CommandTests", ["Reconciler", "VPCManifest", "TestSupport"]),
        tests("LabTests", ["VPCLab", "VPCTrace", "Traffic", "Agent", "Reconciler", "TestSupport"]),
    ],
    swiftLanguageModes: [.v6]
)
