import IPAddressing
import VPCModel
import VPCTopology

/// Whose routes apply: a VPC's main table, or a route table with routes of its own.
struct RoutingContext: Hashable {
    /// A number of `Topology.vpcs`.
    var vpc: Int
    /// A number of `Topology.routeTables`; nil is the main table.
    var routeTable: Int?
}

/// What a table says about an address.
enum RouteDecision {
    /// A number of `Topology.interfaces`.
    case local(Int)
    case custom(ResolvedRoute)
    /// Inside this CIDR of the VPC, and no interface's.
    case nobody(IPPrefix)
    case none
}

extension ResolvedInterface {
    /// A route table without routes is the main table.
    func context(_ topology: Topology) -> RoutingContext {
        let table = topology.subnets[subnet].routeTable.flatMap { topology.routeTables[$0].routes.isEmpty ? nil : $0 }
        return RoutingContext(vpc: vpc, routeTable: table)
    }
}

extension Topology {
    /// The longest match. A route inside one of the VPC's CIDRs is more specific than it, whoever has the address.
    func route(to address: IPAddress, in context: RoutingContext) -> RouteDecision {
        let vpc = vpcs[context.vpc]
        let routes = (context.routeTable.map { routeTables[$0].routes } ?? []) + routesToGateways(of: context.vpc)
        let custom = routes.filter { $0.destination.contains(address) }
            .max { $0.destination.length < $1.destination.length }
        guard let cidr = vpc.cidrs.first(where: { $0.contains(address) }) else {
            // One that a guest has beside the VPC's: an elastic IP.
            if let owner = interface(at: address, inVPC: context.vpc) { return .local(owner) }
            return custom.map { .custom($0) } ?? .none
        }
        if let custom, cidr.contains(custom.destination) { return .custom(custom) }
        let owner = interface(at: address, inVPC: context.vpc)
        return owner.map { .local($0) } ?? .nobody(cidr)
    }

    /// To the own addresses of NAT gateways.
    private func routesToGateways(of vpc: Int) -> [ResolvedRoute] {
        natGateways(ofVPC: vpc).map {
            ResolvedRoute(
                destination: IPPrefix(natGateways[$0].address), nextHops: [ResolvedNextHop(.natGateway($0))])
        }
    }

    /// Whether the host has that address in the routing context of this interface: the gateways of the subnets that
    /// have a guest there.
    func hasGateway(_ address: IPAddress, inContextOf interface: ResolvedInterface) -> Bool {
        let context = interface.context(self)
        return interfacesOfHost[interface.host].contains {
            let other = interfaces[$0]
            return subnets[other.subnet].gateway == address && other.context(self) == context
        }
    }

    func resource(of context: RoutingContext) -> ResourceReference {
        context.routeTable.map { ResourceReference(.routeTable, routeTables[$0].name) }
            ?? ResourceReference(.vpc, vpcs[context.vpc].name)
    }

    func name(of context: RoutingContext) -> String {
        context.routeTable.map { "route table \(routeTables[$0].name)" }
            ?? "main table of VPC \(vpcs[context.vpc].name)"
    }
}
