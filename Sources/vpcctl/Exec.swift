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
    @Argument(parsing: .postTerminator, help: "The command, after --.") var command: [String] = []

    func run() throws {
        guard !command.isEmpty else { throw ValidationError("No command: write it behind --.") }
        let kernel = try Kernel.open(global, toModify: true)
        try Kernel.reporting(global) {
            let namespace = try Kernel.host(of: kernel)
            do {
                try namespace.replaceProcess(with: command)
            } catch {
                global.error("\(error)")
                throw ExitCode(127)  // As a shell says it.
            }
        }
    }
}
