import ArgumentParser
import CommandOptions
import Netlink

@main
struct VPCCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vpcctl",
        abstract: "Turns a declarative VPC model into plain Linux kernel objects.",
        discussion: """
            apply, plan, delete and get --host work on the network namespace they are started in: \
            'ip netns exec h1 vpcctl apply -f manifests --host h1' programs h1. Where an agent (vpcd) looks after that \
            namespace, they work through it.
            """,
        version: Program.version,
        subcommands: [
            Validate.self, Plan.self, Apply.self, Delete.self, Edit.self, Get.self, Exec.self, TraceCommand.self,
            Denied.self, Gateway.self,
            DoctorCommand.self, StatusCommand.self, Watch.self, History.self, Rollback.self, Confirm.self,
        ])

    static func main() {
        do {
            var command = try parseAsRoot()
            let isTraced = (command as? any KernelCommand)?.debug.netlink ?? false
            try NetlinkTrace.$isOn.withValue(isTraced) { try command.run() }
        } catch {
            exit(withError: error)
        }
    }
}
