import CLinux
import Glibc
package import Netlink

extension NetworkNamespace {
    /// Replaces this process by a command inside the namespace, as `ip netns exec` does.
    package func replaceProcess(with command: [String]) throws -> Never {
        try run { () throws -> Never in
            // Without it, commands that look into /sys/class/net would see the devices outside.
            guard linux_show_own_namespace_in_sys() == 0 else {
                throw NetlinkError.system("mount /sys for the namespace")
            }
            var arguments = command.map { strdup($0) }
            arguments.append(nil)
            execvp(command[0], arguments)
            throw NetlinkError.system("start \(command[0])")
        }
    }
}
