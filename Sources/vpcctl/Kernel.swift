import ArgumentParser
import CommandOptions
import Console
import Glibc
import KernelDriver
import KernelNames
import Netlink
import Reconciler
import VPCCompiler

/// The kernel behind the namespace this process was started in, with errors as a user needs them.
enum Kernel {
    /// - Throws: `ExitCode` 77 where the process may not do what the command is for.
    static func open(_ global: GlobalOptions, toModify: Bool) throws -> KernelDriver {
        let missing = toModify ? Capability.missing() : []
        guard missing.isEmpty else {
            let names = missing.map(\.description).joined(separator: " and ")
            global.error("not permitted: this needs \(names); run it as root (sudo) or give the process the capability")
            throw ExitStatus.notPermitted.code
        }
        return KernelDriver()
    }

    /// The network namespace of this host's VPCs.
    static func host(of kernel: KernelDriver) throws -> NetworkNamespace {
        guard let namespace = try presentHost(of: kernel) else { throw NoHost() }
        return namespace
    }

    /// Nil where this machine is no host.
    static func presentHost(of kernel: KernelDriver) throws -> NetworkNamespace? {
        // Found by its mark, whatever its name.
        try kernel.withOwnNamespace(NamespaceName("vpc"), of: Conventions.ownership).namespace
    }

    private struct NoHost: Error, CustomStringConvertible {
        var description: String {
            "this machine is no host yet: nothing of ours is here; 'vpcctl apply' makes it one, and vpcctl has to be started"
                + " where that was (on the machine itself, or in the network namespace that plays it)"
        }
    }

    /// Runs `body` and turns what it throws into a message and an exit code.
    static func reporting<Result>(_ global: GlobalOptions, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as NetlinkError where error.errno == EPERM || error.errno == EACCES {
            global.error("not permitted: \(error); this needs CAP_NET_ADMIN, and CAP_SYS_ADMIN for guests' namespaces")
            throw ExitStatus.notPermitted.code
        } catch let error as ExitCode {
            throw error
        } catch let error as ValidationError {
            throw error
        } catch {
            global.error("\(error)")
            throw ExitStatus.failed.code
        }
    }
}
