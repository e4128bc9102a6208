import ArgumentParser
import CommandOptions
import Console
import VPCLab

struct Exec: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a command on a host or guest of a lab.",
        discussion: """
            Also 'underlay', the internet behind a gateway guest, 'GUEST-inet', and the namespace that a host has made for \
            its VPCs, 'vpc-HOST', are places to run on.
            """)

    // One path each, unlike elsewhere: the node's name follows.
    @Option(
        name: [.customShort("f"), .customLong("filename")], parsing: .singleValue,
        help: "The manifests that the lab is named after; needless where only one lab is up.",
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var paths: [String] = []
    @OptionGroup var lab: LabOptions
    @OptionGroup var global: GlobalOptions
    @Argument(help: "The name of a host or guest.") var node: String
    @OptionGroup var command: CommandToRun

    func run() throws {
        try requirePrivileges(global)
        try reporting(global) {
            let namespace = try lab.store.namespace(of: node, in: try lab.name(forManifests: paths))
            try command.start(global) { try namespace.replaceProcess(with: $0) }
        }
    }
}
