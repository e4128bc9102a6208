import KernelNames
import NFTables

/// Leads packets by their port to a chain that many ports have in common, in two steps: a map from ports to numbers, and one
/// from these to the chains. The number is in the packet's mark meanwhile, which nobody else uses in the namespace and which
/// no packet takes with it to another one.
///
/// A verdict map from ports would do with one. But whenever a rule or an element that leads to a chain is new the kernel
/// looks through all that every element of every verdict map leads to (`nft_table_validate`): ten thousand instructions for
/// each of a thousand ports, from each place where the map is asked.
struct ChainDispatch: Sendable {
    private let ports: NFSet
    /// Of the chain that looks them up, too.
    private let chains: NFSet
    private let drops: FirewallName

    /// - Parameter drops: Counts what has a number that leads nowhere: while a transaction takes effect a packet may find its
    ///   port's former number, and that gone.
    init(ports: String, chains: String, drops: FirewallName) {
        self.ports = NFSet(ports, of: .interfaceName, to: .values(.mark), grows: true)
        self.chains = NFSet(chains, of: .mark, to: .verdict, grows: true)
        self.drops = drops
    }

    /// As they are declared, empty, and the chain between them.
    func declare(in firewall: inout Firewall) {
        firewall.filter.sets += [ports, chains]
        firewall.filter.chain(chains.name, origin: firewall.origin) { chain in
            chain.rule(.vmap(.mark, map: chains.name))
            chain.rule(.counter(drops.description), .drop)
        }
    }

    /// To the chain of the port whose name a field is; on to the next rule where it has none.
    func rule(_ port: NFField) -> [NFStatement] { [.set(.mark, map: ports.name, port), .jump(chains.name)] }

    /// A port whose packets go to a chain.
    func add(_ port: InterfaceName, to chain: FirewallName, _ host: HostCompiler, _ part: inout Part, _ origin: Origin)
    {
        guard let number = host.numbering.number(ofChain: chain.description) else {
            preconditionFailure("\(chain) has a number as soon as a port has it")
        }
        part.rows(of: ports) { $0.add(port, data: NFMark(number), origin: origin) }
    }

    /// A chain that ports lead to.
    func add(_ chain: FirewallName, _ host: HostCompiler, _ part: inout Part, _ origin: Origin) {
        guard let number = host.numbering.number(ofChain: chain.description) else { return }
        part.rows(of: chains) { $0.add(NFMark(number), verdict: .goto(chain.description), origin: origin) }
    }
}
