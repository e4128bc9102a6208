public import IPAddressing

/// The lists of interfaces in their orders.
extension Topology {
    /// The interface to which an address of a VPC is routed.
    @inlinable
    package func interface(at address: IPAddress, inVPC vpc: Int) -> Int? {
        let all = interfacesOfVPC[vpc]
        let place = all.partitionPoint { interfaces[$0].address < address }
        if place < all.count, interfaces[all[place]].address == address { return all[place] }
        return furtherOfVPC[vpc].isEmpty ? nil : further(around: address, inVPC: vpc)?.interface
    }

    /// Those of one VPC on a host, by address.
    @inlinable
    package func interfaces(of vpc: Int, on host: Int) -> some Sequence<Int> {
        let all = interfacesOfHost[host]
        let start = all.partitionPoint { isVPC(interfaces[$0].vpc, before: vpc) }
        return all[start...].lazy.prefix { interfaces[$0].vpc == vpc }
    }
}

extension Topology {
    mutating func makeRoomForHosts() {
        while interfacesOfHost.count < hosts.endIndex { interfacesOfHost.append([]) }
    }

    mutating func makeRoomForVPCs() {
        while interfacesOfVPC.count < vpcs.endIndex { interfacesOfVPC.append([]) }
        while furtherOfVPC.count < vpcs.endIndex { furtherOfVPC.append([]) }
    }

    /// Enters an interface in the lists of its VPC and its host.
    /// - Returns: one that has the address already; then it is in no list.
    mutating func enter(_ number: Int) -> Int? {
        let (vpc, host, address) = (interfaces[number].vpc, interfaces[number].host, interfaces[number].address)
        if !furtherOfVPC[vpc].isEmpty, let other = further(around: address, inVPC: vpc) { return other.interface }
        // Mostly they come in order.
        if let last = interfacesOfVPC[vpc].last, interfaces[last].address >= address {
            if let other = interface(at: address, inVPC: vpc) { return other }
            let all = interfaces
            interfacesOfVPC[vpc].insert(number) { all[$0].address < address }
        } else {
            interfacesOfVPC[vpc].append(number)
        }
        if let last = interfacesOfHost[host].last,
            interfaces[last].vpc == vpc
                ? interfaces[last].address >= address : !isVPC(interfaces[last].vpc, before: vpc)
        {
            let (interface, all, vpcs) = (interfaces[number], interfaces, vpcs)
            interfacesOfHost[host].insert(number) { all[$0].isBefore(interface, vpcs) }
        } else {
            interfacesOfHost[host].append(number)
        }
        return nil
    }

    /// Makes an interface a member of its groups.
    mutating func enterGroups(of number: Int) {
        let address = interfaces[number].address
        for group in interfaces[number].securityGroups {
            if let last = securityGroups[group].members.last, interfaces[last].address >= address {
                let all = interfaces
                securityGroups[group].members.insert(number) { all[$0].address < address }
            } else {
                securityGroups[group].members.append(number)
            }
        }
    }

    /// Takes an interface out of all lists.
    mutating func leave(_ number: Int) {
        leaveFurther(of: number)
        let (interface, all, vpcs) = (interfaces[number], interfaces, vpcs)
        interfacesOfVPC[interface.vpc].remove(number) { all[$0].address < interface.address }
        interfacesOfHost[interface.host].remove(number) { all[$0].isBefore(interface, vpcs) }
        for group in interface.securityGroups {
            securityGroups[group].members.remove(number) { all[$0].address < interface.address }
        }
    }
}
