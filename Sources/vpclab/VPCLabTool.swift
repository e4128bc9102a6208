import ArgumentParser
import CommandOptions

@main
struct VPCLabTool: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vpclab",
        abstract:
            "Makes every host and guest of a manifest a network namespace of this machine, and tests the network.",
        discussion: """
            The namespaces have the names of the manifest: 'ip netns exec web1 ping 10.0.1.12' works while the lab is \
            up. Needs root and a kernel with GRE and VRF devices.
            """,
        version: Program.version,
        subcommands: [Up.self, Exec.self, Test.self, Down.self])
}
