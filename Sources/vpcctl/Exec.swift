import ArgumentParser
import CommandOptions
import Console
import KernelDriver
import Traffic

struct Exec: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a command in the network namespace of this host's VPCs.",
        discussion: """
            As 'ip netns exec vpc-HOST' does, whatever the namespace is called: 'vpcctl exec -- ip route show vrf \
            vpc-v1000001', 'vpcctl exec -- tcpdump -ni e-web1'. Exit codes are those of the command; 127 where it cannot \
            be started.
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var command: CommandToRun

    func run() throws {
        let kernel = try Kernel.open(global, toModify: true)
        try Kernel.reporting(global) {
            let namespace = try Kernel.host(of: kernel)
            try command.start(global) { try namespace.replaceProcess(with: $0) }
        }
    }
}
