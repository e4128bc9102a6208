// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "Benchmarks",
    dependencies: [.package(name: "vpcctl", path: "..")],
    targets: [
        .executableTarget(
            name: "vpcbench",
            dependencies: [
                .product(name: "Netlink", package: "vpcctl"),
                .product(name: "VPC", package: "vpcctl"),
            ])
    ],
    swiftLanguageModes: [.v6]
)
