internal import IPAddressing
internal import VPCModel

extension Resolver {
    // MARK: Interfaces

    mutating func resolveInterfaces() {
        var found: [Placement] = []
        found.reserveCapacity(interfaces.count)
        for (index, interface) in interfaces.enumerated() {
            let subnet = number(of: Subnet.self, interface.subnet, for: interface.reference, ["spec", "subnet"])
            let host = number(of: Host.self, interface.host, for: interface.reference, ["spec", "host"])
            if let subnet { checkAddress(interface, topology.subnets[subnet]) }
            if let subnet, let host {
                let vpc = topology.subnets[subnet].vpc
                found.append(
                    Placement(
                        vpc: vpc, rank: rank(ofVPC: vpc), address: interface.address, index: index, subnet: subnet,
                        host: host))
            } else {
                enter(interface, Self.broken)
            }
        }
        // Before sorting, so that of two equal ones the later in the documents is reported.
        checkAttachments(found)
        checkMACs(found)
        found.sort { ($0.rank, $0.address, $0.index) < ($1.rank, $1.address, $1.index) }
        topology.interfaces.reserveCapacity(found.count)
        sourceOfInterface = Array(repeating: -1, count: max(topology.interfaces.endIndex, found.count))
        topology.interfacesOfHost = Array(repeating: [], count: topology.hosts.endIndex)
        topology.interfacesOfVPC = Array(repeating: [], count: topology.vpcs.endIndex)
        var first: Placement?
        for placement in found {
            let interface = interfaces[placement.index]
            let resolved = ResolvedInterface(
                name: interface.metadata.name, vpc: placement.vpc, subnet: placement.subnet, host: placement.host,
                address: interface.address, mac: mac(of: placement), sourceDestCheck: interface.sourceDestCheck,
                attachment: interface.attachment, mtu: interface.mtu ?? NetworkInterface.defaultMTU, gatewayKey: nil)
            let number = topology.interfaces.add(resolved, at: formerNumber(of: interface))
            enter(interface, number)
            if number == sourceOfInterface.count { sourceOfInterface.append(placement.index) }
            sourceOfInterface[number] = placement.index
            topology.interfacesOfHost[placement.host].append(number)
            topology.interfacesOfVPC[placement.vpc].append(number)
            if let first, first.vpc == placement.vpc, first.address == placement.address {
                let other = interfaces[first.index]
                report(
                    "duplicate-address", "the address \(placement.address) is that of interface \(other.metadata.name)",
                    hint: "an address belongs to one interface of a VPC", at: interface.reference, ["spec", "address"],
                    related: Diagnostic.Related(
                        "the other interface is here", at: other.reference, ["spec", "address"]))
            } else {
                first = placement
            }
        }
    }

    /// An interface whose subnet and host are known.
    struct Placement {
        var vpc: Int
        /// Of the VPC.
        var rank: Int
        var address: IPAddress
        /// In the model.
        var index: Int
        var subnet: Int
        var host: Int
    }

    private func mac(of placement: Placement) -> MACAddress {
        interfaces[placement.index].mac
            ?? MACAddress(vpc: topology.vpcs[placement.vpc].id, address: placement.address)
    }

    private mutating func checkAddress(_ interface: NetworkInterface, _ subnet: ResolvedSubnet) {
        let (address, cidr) = (interface.address, subnet.cidr)
        let isInside = cidr.contains(address)
        guard !isInside || address == cidr.address || address == cidr.last || address == subnet.gateway else { return }
        let path: FieldPath = ["spec", "address"]
        let related = Diagnostic.Related(
            "the subnet is here", at: ResourceReference(.subnet, subnet.name), ["spec", "cidr"])
        let hint = "interfaces can have \(cidr.firstUsable) to \(cidr.lastUsable), except the gateway \(subnet.gateway)"
        if !isInside {
            report(
                "address-outside-subnet", "the address \(address) is not in \(cidr) of subnet \(subnet.name)",
                hint: hint,
                at: interface.reference, path, related: related)
        } else {
            let use = address == cidr.address ? "network" : address == cidr.last ? "broadcast" : "gateway"
            report(
                "address-not-usable", "\(address) is the \(use) address of subnet \(subnet.name) (\(cidr))", hint: hint,
                at: interface.reference, path, related: related)
        }
    }

    // MARK: MAC addresses

    private struct StationKey: Hashable {
        var vpc: Int
        var mac: MACAddress
    }

    private mutating func checkMACs(_ placements: [Placement]) {
        // Derived addresses differ from each other, as the interfaces' addresses do.
        var explicit: [StationKey: Int] = [:]
        let path: FieldPath = ["spec", "mac"]
        for placement in placements {
            guard let mac = interfaces[placement.index].mac else { continue }
            let interface = interfaces[placement.index]
            if mac == .gateway {
                report(
                    "mac-reserved", "\(mac) is the MAC address of every subnet's gateway",
                    hint: "choose another one, or leave the field out", at: interface.reference, path)
            }
            let key = StationKey(vpc: placement.vpc, mac: mac)
            if let first = explicit[key] {
                reportMAC(mac, at: interface, related: interfaces[first])
            } else {
                explicit[key] = placement.index
            }
        }
        guard !explicit.isEmpty else { return }
        for placement in placements where interfaces[placement.index].mac == nil {
            let mac = mac(of: placement)
            guard let index = explicit[StationKey(vpc: placement.vpc, mac: mac)] else { continue }
            reportMAC(mac, at: interfaces[index], related: interfaces[placement.index])
        }
    }

    private mutating func reportMAC(_ mac: MACAddress, at interface: NetworkInterface, related: NetworkInterface) {
        report(
            "duplicate-mac", "the MAC address \(mac) is that of interface \(related.metadata.name)",
            hint: "a MAC address belongs to one interface of a VPC; leave the field out to have a unique one",
            at: interface.reference, ["spec", "mac"],
            related: Diagnostic.Related("the other interface is here", at: related.reference, ["spec", "mac"]))
    }

    // MARK: Attachments

    private struct DeviceKey: Hashable {
        var host: Int
        var netns: String?
        var device: String
    }

    private mutating func checkAttachments(_ placements: [Placement]) {
        let underlayDevices = Dictionary(
            uniqueKeysWithValues: topology.hosts.numbered.compactMap { number, host in
                host.underlayDevice.map { (number, $0) }
            })
        var guests: [DeviceKey: Int] = [:]
        guests.reserveCapacity(placements.count)
        // Devices on the hosts whose names could meet: short interface names give different ones by themselves.
        var ports: [DeviceKey: Int] = [:]
        for placement in placements {
            let key: DeviceKey
            switch interfaces[placement.index].attachment {
            case .namespace(let netns, let device):
                key = DeviceKey(host: placement.host, netns: netns, device: device)
            case .device(let device):
                key = DeviceKey(host: placement.host, netns: nil, device: device)
                if device == underlayDevices[placement.host] { reportUnderlay(device, placement) }
            }
            if let first = guests.updateValue(placement.index, forKey: key) {
                guests[key] = first
                reportAttachment(key, placement, first: first)
            } else if key.netns == nil || !PortName.isPlain(interfaces[placement.index].metadata.name) {
                checkPort(placement, in: &ports)
            }
        }
        let couldBeUnderlay = underlayDevices.values.contains { $0.hasPrefix(PortName.prefix) }
        guard !ports.isEmpty || couldBeUnderlay else { return }
        for placement in placements {
            guard case .namespace = interfaces[placement.index].attachment else { continue }
            let name = interfaces[placement.index].metadata.name
            if PortName.isPlain(name) { checkPort(placement, in: &ports) }
            guard couldBeUnderlay, PortName(interfaceName: name).rawValue == underlayDevices[placement.host] else {
                continue
            }
            let host = topology.hosts[placement.host]
            report(
                "port-name-collision",
                "its device would be named \(PortName(interfaceName: name)), as the underlay device of host"
                    + " \(host.metadata.name) is",
                hint: "rename the interface", at: ResourceReference(.networkInterface, name), ["metadata", "name"],
                related: Diagnostic.Related(
                    "the host says so here", at: host.reference, ["spec", "underlay", "device"]))
        }
    }

    private mutating func reportUnderlay(_ device: String, _ placement: Placement) {
        let host = topology.hosts[placement.host]
        report(
            "device-is-underlay", "\(device) is the underlay device of host \(host.metadata.name)",
            hint: "a guest needs a device of its own", at: interfaces[placement.index].reference,
            ["spec", "attachment", "device"],
            related: Diagnostic.Related("the host says so here", at: host.reference, ["spec", "underlay", "device"]))
    }

    private mutating func reportAttachment(_ key: DeviceKey, _ placement: Placement, first: Int) {
        let (interface, other) = (interfaces[placement.index], interfaces[first])
        report(
            "duplicate-attachment",
            "the device \(key.device)\(key.netns.map { " in namespace \($0)" } ?? "") on host \(interface.host)"
                + " is that of interface \(other.metadata.name)",
            hint: "every interface needs a device of its own", at: interface.reference,
            ["spec", "attachment", "device"],
            related: Diagnostic.Related(
                "the other interface is here", at: other.reference, ["spec", "attachment", "device"]))
    }

    private mutating func checkPort(_ placement: Placement, in ports: inout [DeviceKey: Int]) {
        let name = interfaces[placement.index].metadata.name
        let port = interfaces[placement.index].attachment.portName(ofInterface: name).rawValue
        let key = DeviceKey(host: placement.host, netns: nil, device: port)
        guard let first = ports.updateValue(placement.index, forKey: key) else { return }
        ports[key] = first
        let other = interfaces[first]
        report(
            "port-name-collision",
            "its device on host \(other.host) would be named \(port), as that of interface \(other.metadata.name) is",
            hint: "rename one of them", at: ResourceReference(.networkInterface, name), ["metadata", "name"],
            related: Diagnostic.Related("the other interface is here", at: other.reference, ["metadata", "name"]))
    }
}
