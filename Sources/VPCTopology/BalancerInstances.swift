package import VPCModel

/// An instance of a load balancer of HTTP is a guest like any other: it has a network interface, which nobody declares,
/// in a network namespace of its own. What is said of interfaces is true of it, then, in every stage.
public enum BalancerInstance {
    /// In the namespace.
    public static let device = "eth0"

    /// What its interface is called. No manifest can have such a name: a declared one has no dot.
    /// - Parameter host: A balancer has one instance on a host.
    public static func interfaceName(of balancer: String, on host: String) -> String { "\(balancer).\(host)" }

    /// The network namespace that it runs in.
    public static func namespace(of balancer: String, on host: String) -> String {
        namespacePrefix + interfaceName(of: balancer, on: host)
    }

    public static let namespacePrefix = "vpc-lb-"

    /// Whose instance an interface is, by its name; nil where somebody has declared it.
    public static func owner(ofInterface name: String) -> (balancer: String, host: String)? {
        guard let dot = name.utf8.firstIndex(of: UInt8(ascii: ".")) else { return nil }
        return (String(name[..<dot]), String(name[name.utf8.index(after: dot)...]))
    }
}

extension ResourceReference {
    /// What the user has declared of which this is a part: of an instance's interface its balancer.
    package var declared: ResourceReference {
        guard kind == .networkInterface, let owner = BalancerInstance.owner(ofInterface: name) else { return self }
        return ResourceReference(.loadBalancer, owner.balancer)
    }
}

extension LoadBalancer {
    /// Those of its instances.
    fileprivate var interfaces: [NetworkInterface] {
        var hosts: Set<String> = []
        return instances.compactMap { instance in
            // Of a second one on a host there is a complaint.
            guard hosts.insert(instance.host).inserted else { return nil }
            return NetworkInterface(
                metadata: Metadata(
                    name: BalancerInstance.interfaceName(of: metadata.name, on: instance.host)),
                subnet: instance.subnet, host: instance.host, address: instance.address,
                attachment: .namespace(
                    BalancerInstance.namespace(of: metadata.name, on: instance.host), device: BalancerInstance.device),
                hostName: metadata.name)
        }
    }
}

extension Model {
    /// With the interfaces of instances, behind those that are declared, and with elastic IPs that lead to them.
    func withInstances() -> Model {
        let balancers = loadBalancers.filter { $0.type == .l7 }
        if balancers.isEmpty { return self }
        var whole = self
        for balancer in balancers {
            let interfaces = balancer.interfaces
            whole.interfaces += interfaces
            guard interfaces.count == 1, let name = balancer.elasticIP,
                let address = elasticIPs.firstIndex(where: { $0.metadata.name == name }),
                elasticIPs[address].interface == nil
            else { continue }
            whole.elasticIPs[address].interface = interfaces[0].metadata.name
        }
        return whole
    }
}

extension Diagnostic {
    /// What is complained of in an instance's interface is a fault of the balancer's; nil where that is told of the balancer
    /// itself.
    func blaming(_ balancers: [LoadBalancer]) -> Diagnostic? {
        var blamed = self
        if let other = related, other.resource.declared != other.resource {
            blamed.related = Related(other.message, at: other.resource.declared, ["spec", "instances"])
        }
        guard let owner = BalancerInstance.owner(ofInterface: resource.name), resource.kind == .networkInterface,
            let balancer = balancers.first(where: { $0.metadata.name == owner.balancer })
        else { return blamed }
        if Self.toldOfBalancers.contains(rule) { return nil }
        let position = balancer.instances.firstIndex { $0.host == owner.host } ?? 0
        blamed.resource = balancer.reference
        blamed.path = ["spec", "instances", .index(position)]
        blamed.message = message.replacing(
            "\(resource.kind.rawValue) \(resource.name)",
            with: "\(balancer.reference.kind.rawValue) \(balancer.reference.name)")
        return blamed
    }

    /// Rules that a balancer's own fields are checked by.
    private static let toldOfBalancers: Set<String> = [
        "address-outside-subnet", "address-not-usable", "dangling-reference", "duplicate-address",
    ]
}
