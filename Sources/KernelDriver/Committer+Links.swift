import CLinux
import IPAddressing
import KernelModel
import KernelNames
import Netlink

extension Committer {
    mutating func perform(_ changes: ChangeSet<Link>, _ step: ChangePlan.Step, _ session: Session) {
        var outcome = StepOutcome()
        do throws(NetlinkError) {
            try delete(changes.deletions, session, &outcome)
            let offset = changes.deletions.count
            var first = 0
            while first < changes.creations.count {
                // Some at a time, so that the descriptors of their namespaces do not run out.
                let part = changes.creations[first...].prefix(256).map(\.object)
                var tasks: [LinkTask] = []
                try create(part, from: offset + first, step.place, session, &outcome, &tasks)
                try carryOut(tasks, session, &outcome)
                first += part.count
            }
            var tasks: [LinkTask] = []
            try adjust(changes.replacements, from: offset + changes.creations.count, session, &outcome, &tasks)
            try bringIn(&tasks, session, &outcome)
            try carryOut(tasks, session, &outcome)
            try letGo(tasks, changes.replacements, session, outcome)
        } catch {
            // The socket failed, or the devices could not be listed.
            for index in 0..<changes.counts.total { outcome.fail(index, error.reason) }
            session.forgetDevices()
        }
        for (position, creation) in changes.creations.enumerated()
        where outcome.failures[changes.deletions.count + position] != nil {
            rule(out: creation.object, session)
        }
        note(outcome, of: changes, in: step.place)
    }

    // MARK: Creation and change

    /// Notes what has to be done for the devices that shall be made.
    private mutating func create(
        _ links: [Link], from offset: Int, _ place: Place, _ session: Session, _ outcome: inout StepOutcome,
        _ tasks: inout [LinkTask]
    ) throws(NetlinkError) {
        if links.isEmpty { return }
        let devices = try session.devices
        let tunnelSession = try tunnelSession(for: links, place)
        let outside = try tunnelSession?.devices
        var namespaces: [NamespaceName: OpenNamespace] = [:]
        for (position, (link, index)) in zip(links, devices.freeIndexes(links.count, and: outside)).enumerated() {
            var task = LinkTask(change: offset + position, index: index, link: link, isNew: true, settings: .all)
            task.isMadeOutside = tunnelSession != nil && link.kind.isMadeOutside
            if let missing = task.resolve(devices, tunnelsBy: outside) {
                outcome.fail(task.change, missing)
                continue
            }
            if case .veth(let peer) = link.kind {
                do throws(NetlinkError) {
                    if namespaces[peer.namespace] == nil {
                        namespaces[peer.namespace] = try NetworkNamespace.named(peer.namespace.rawValue).opened()
                    }
                    task.peerNamespace = namespaces[peer.namespace]
                } catch {
                    outcome.fail(
                        task.change, error.isAbsence ? .dependency("namespace \(peer.namespace)") : error.reason)
                    continue
                }
            }
            tasks.append(task)
        }
        if let tunnelSession { try makeOutside(tasks, tunnelSession, &outcome) }
    }

    /// Where tunnels are made, if not where they are to be.
    private mutating func tunnelSession(for links: [Link], _ place: Place) throws(NetlinkError) -> Session? {
        guard driver.own != nil, place == .host, links.contains(where: \.kind.isMadeOutside) else { return nil }
        return try session(.underlay)
    }

    /// Makes tunnels where their packets travel, and moves them here: what they send leaves there from then on, too.
    // ip link add type gre …; ip link set … netns …
    private mutating func makeOutside(
        _ tasks: [LinkTask], _ session: Session, _ outcome: inout StepOutcome
    ) throws(NetlinkError) {
        let tunnels = tasks.filter { $0.isMadeOutside && outcome.failures[$0.change] == nil }
        if tunnels.isEmpty { return }
        let here = try namespace(of: .host).opened()
        var unmade: Set<Int> = []
        let before = session.socket.modificationCount
        try send(tunnels, session, &outcome, unmade: &unmade) { task, writer in
            task.encodeCreation(into: &writer)
            task.encodeMove(to: here, newIndex: nil, into: &writer)
        }
        let failed = tunnels.filter { outcome.failures[$0.change] != nil && !unmade.contains($0.change) }
        // One that could not be moved is of no use here, and nothing that anybody has asked for there.
        try remove(failed, session)
        countWrites(session.socket.modificationCount - before)
    }

    /// Moves devices of somebody else here that are where the tunnels' packets travel.
    // ip link property add …; ip link set … netns …
    private mutating func bringIn(
        _ tasks: inout [LinkTask], _ session: Session, _ outcome: inout StepOutcome
    ) throws(NetlinkError) {
        let arriving = tasks.filter { $0.settings.contains(.namespace) && !$0.link.isOutside }
        if arriving.isEmpty { return }
        let outside = try self.session(.underlay)
        let here = try namespace(of: .host).opened()
        let before = outside.socket.modificationCount
        var none: Set<Int> = []
        // What it was goes with it, whatever happens to us.
        try send(arriving.filter { !$0.newNotes.isEmpty }, outside, &outcome, unmade: &none) { task, writer in
            task.encode(task.newNotes, RTM_NEWLINKPROP, into: &writer)
        }
        let noted = arriving.filter { outcome.failures[$0.change] == nil }
        let indexes = try session.devices.freeIndexes(noted.count)
        var numbers: [Int: UInt32] = [:]
        for (task, index) in zip(noted, indexes) { numbers[task.change] = index }
        try send(noted, outside, &outcome, unmade: &none) { task, writer in
            task.encodeMove(to: here, newIndex: numbers[task.change], into: &writer)
        }
        countWrites(outside.socket.modificationCount - before)
        for position in tasks.indices {
            guard let index = numbers[tasks[position].change], outcome.failures[tasks[position].change] == nil else {
                continue
            }
            tasks[position].index = index
            tasks[position].formerNotes = tasks[position].link.notes ?? []
            session.add(tasks[position].link.name, .init(index: index, isOwned: false))
            outside.remove(tasks[position].link.name)
        }
    }

    /// Moves devices of somebody else back, and gives them what they had there.
    private mutating func bringBack(
        _ tasks: [LinkTask], _ session: Session, _ outcome: inout StepOutcome
    ) throws(NetlinkError) {
        let leaving = tasks.filter { $0.settings.contains(.namespace) && $0.link.isOutside }
        if leaving.isEmpty { return }
        let there = try driver.underlay.opened()
        var none: Set<Int> = []
        try send(leaving, session, &outcome, unmade: &none) { task, writer in
            task.encodeMove(to: there, newIndex: nil, into: &writer)
        }
        let outside = try self.session(.underlay)
        outside.forgetDevices()
        var settled: [LinkTask] = []
        for var task in leaving where outcome.failures[task.change] == nil {
            session.remove(task.link.name)
            guard let device = try outside.devices[task.link.name] else { continue }
            task.index = device.index
            task.settings.remove(.namespace)
            settled.append(task)
        }
        let before = outside.socket.modificationCount
        _ = try configure(settled, outside, &outcome)
        countWrites(outside.socket.modificationCount - before)
    }

    /// Notes what has to be done for devices that are there.
    private mutating func adjust(
        _ replacements: [Replacement<Link>], from offset: Int, _ session: Session, _ outcome: inout StepOutcome,
        _ tasks: inout [LinkTask]
    ) throws(NetlinkError) {
        if replacements.isEmpty { return }
        let names = replacements.flatMap { [$0.old.name, $0.new.master, $0.new.kind.underlay] }.compactMap(\.self)
        let devices = try session.devices(named: Set(names.filter { !$0.isNone }))
        for (position, replacement) in replacements.enumerated() {
            let link = replacement.new
            let change = offset + position
            let settings = link.settingsDiffering(from: replacement.old)
            let spared = settings == .ipv4 ? session.spared[link.name] : nil
            let outside = replacement.old.isOutside ? try self.session(.underlay).devices[link.name] : nil
            guard let device = outside ?? devices[replacement.old.name] ?? spared else {
                outcome.fail(change, .dependency("link \(replacement.old.name)"))
                continue
            }
            // The name may have changed hands since it was looked at.
            guard link.kind == .adopted || device.isOwned || device.index == link.kind.pairEnd?.ownIndex else {
                outcome.fail(change, .dependency("link \(link.name) of our own"))
                continue
            }
            var task = LinkTask(
                change: change, index: device.index, link: link, isNew: false, settings: settings)
            task.formerNotes = replacement.old.notes ?? []
            if task.settings.contains(.name) { task.settings.insert(.isUp) }
            // It starts anew where it comes to.
            if task.settings.contains(.namespace) { task.settings.formUnion([.allOfOthers, .notes]) }
            if let missing = try task.resolve(devices, tunnelsBy: tunnelDevices(link)) {
                outcome.fail(change, missing)
                continue
            }
            tasks.append(task)
        }
    }

    /// The devices that a tunnel may leave by, where those are in another namespace.
    private mutating func tunnelDevices(_ link: Link) throws(NetlinkError) -> DeviceTable? {
        guard driver.own != nil, link.kind.underlay != nil else { return nil }
        return try session(.underlay).devices
    }

    /// Makes and configures devices. They come up last, when everything is as it shall be: an IPv6 address or a route
    /// that was there for a moment would be seen.
    private mutating func carryOut(
        _ tasks: [LinkTask], _ session: Session, _ outcome: inout StepOutcome
    ) throws(NetlinkError) {
        let tasks = tasks.filter { outcome.failures[$0.change] == nil }
        if tasks.isEmpty { return }
        try bringBack(tasks, session, &outcome)
        let unmade = try configure(tasks.filter { !$0.link.isOutside }, session, &outcome)
        // Half of a device is nobody's, or does without what protects it.
        let remains = tasks.filter { $0.isNew && outcome.failures[$0.change] != nil && !unmade.contains($0.change) }
        try remove(remains, session)
    }

    /// - Returns: the changes whose devices were not made at all.
    private mutating func configure(
        _ tasks: [LinkTask], _ session: Session, _ outcome: inout StepOutcome
    ) throws(NetlinkError) -> Set<Int> {
        var none: Set<Int> = []
        // Whatever happens to us after a change, what was before it is noted.
        try send(tasks.filter { !$0.newNotes.isEmpty }, session, &outcome, unmade: &none) { task, writer in
            task.encode(task.newNotes, RTM_NEWLINKPROP, into: &writer)
        }
        let tasks = tasks.filter { outcome.failures[$0.change] == nil }
        var unmade: Set<Int> = []
        try send(tasks, session, &outcome, unmade: &unmade) { task, writer in
            if task.isNew, !task.isMadeOutside { task.encodeCreation(into: &writer) }
            // Kernels before 6.2 rename no device that is up.
            if task.settings.contains(.name) { task.encodeState(isUp: false, into: &writer) }
            task.encodeSettings(into: &writer)
        }
        var ready = tasks.filter { outcome.failures[$0.change] == nil }
        for task in ready where task.isNew {
            session.add(task.link.name, .init(index: task.index, isOwned: true))
            if let end = task.link.kind.pairEnd {
                session.add(end.peer, .init(index: end.farIndex, isOwned: true))
            }
        }
        for task in ready where task.settings.contains(.name) {
            session.rename(task.index, to: task.link.name)
        }
        try writeIPv6(ready, session, &outcome)
        ready.removeAll { outcome.failures[$0.change] != nil }
        let waiting = ready.filter { $0.settings.contains(.isUp) && ($0.link.isUp || !$0.isNew) }
        try send(waiting, session, &outcome, unmade: &none) { task, writer in
            task.encodeState(isUp: task.link.isUp, into: &writer)
        }
        // And forgotten when all is as it was.
        let done = ready.filter { outcome.failures[$0.change] == nil && !$0.oldNotes.isEmpty }
        try send(done, session, &outcome, unmade: &none) { task, writer in
            task.encode(task.oldNotes, RTM_DELLINKPROP, into: &writer)
        }
        return unmade
    }

    /// Sends the messages of many tasks.
    /// - Parameter unmade: Gets those whose first message, which makes the device, was refused.
    private func send(
        _ tasks: [LinkTask], _ session: Session, _ outcome: inout StepOutcome, unmade: inout Set<Int>,
        _ encode: (LinkTask, inout MessageWriter) -> Void
    ) throws(NetlinkError) {
        if tasks.isEmpty { return }
        let first = session.socket.family.name(of: MessageType(RTM_NEWLINK))
        _ = try session.socket.commit(tasks.count) { index, writer in
            encode(tasks[index], &writer)
        } failed: { index, error in
            if error.operation == first { unmade.insert(tasks[index].change) }
            outcome.fail(tasks[index].change, error.reason)
        }
    }

    /// Deletes what was made just now, by its number: whoever has its name may be somebody else.
    private func remove(_ tasks: [LinkTask], _ session: Session) throws(NetlinkError) {
        if tasks.isEmpty { return }
        _ = try session.socket.commit(tasks.count) { index, writer in
            writer.message(MessageType(RTM_DELLINK), [], ifinfomsg(index: tasks[index].index))
        } failed: { _, _ in
            // It has its mark, or the first reason is the one that counts.
        }
    }

    /// Gives devices of somebody else what they had where they could not be taken: without a master of ours nobody would
    /// know that their settings are ours.
    private func letGo(
        _ tasks: [LinkTask], _ replacements: [Replacement<Link>], _ session: Session, _ outcome: StepOutcome
    ) throws(NetlinkError) {
        for task in tasks where task.link.kind == .adopted && task.settings.contains(.master) {
            guard outcome.failures[task.change] != nil, let master = try session.socket.link(task.index)?.master,
                master != task.master,
                let former = replacements.first(where: { $0.new.name == task.link.name })?.old
            else { continue }
            let settings = task.settings.subtracting([.master, .isUp, .ipv6])
            let release = LinkTask(
                change: task.change, index: task.index, link: former, isNew: false, settings: settings)
            var unmade: Set<Int> = [], ignored = StepOutcome()
            try send([release], session, &ignored, unmade: &unmade) { $0.encodeSettings(into: &$1) }
        }
    }

    /// Only files say whether a device does IPv6. Without them there is none.
    private mutating func writeIPv6(
        _ tasks: [LinkTask], _ session: Session, _ outcome: inout StepOutcome
    ) throws(NetlinkError) {
        let concerned = tasks.filter { $0.settings.contains(.ipv6) && $0.link.ipv6Disabled != nil }
        if concerned.isEmpty { return }
        var writes = 0
        try session.namespace.enter { () throws(NetlinkError) in
            for task in concerned {
                let isDisabled = task.link.ipv6Disabled ?? false
                let directory = "net/ipv6/conf/\(task.link.name)"
                do throws(NetlinkError) {
                    // Should somebody switch IPv6 on, the device still makes no link-local address by itself.
                    if let mode = task.link.addressGeneration ?? (isDisabled ? 1 : nil) {
                        try session.write("\(directory)/addr_gen_mode", "\(mode)")
                        writes += 1
                    }
                    try session.write("\(directory)/disable_ipv6", isDisabled ? "1" : "0")
                    writes += 1
                } catch {
                    if isDisabled, error.isAbsence { continue }
                    outcome.fail(task.change, error.reason)
                }
            }
        }
        countWrites(writes)
    }

    // MARK: Deletion

    /// Deletes devices: moved to a group of their own, they go in one message, because the kernel waits once per message
    /// for everybody who may still be using a device.
    private mutating func delete(
        _ links: [Link], _ session: Session, _ outcome: inout StepOutcome
    ) throws(NetlinkError) {
        if links.isEmpty { return }
        let devices = try session.devices
        try giveBack(links, devices, session, &outcome)
        var doomed: [(change: Int, index: UInt32)] = []
        for (change, link) in links.enumerated() {
            // What is gone, or has become somebody else's, needs no deletion. The mark decides and not the kind: one of
            // ours that somebody changed beyond recognition has the kind `.adopted`, too.
            guard let device = devices[link.name], device.isOwned else { continue }
            if case .veth(let peer) = link.kind, guestsWithRules.contains(peer.namespace) {
                outcome.fail(change, .dependency("a guest without rules of ours"))
                continue
            }
            doomed.append((change, device.index))
        }
        if doomed.isEmpty { return }
        let group = devices.freeGroup()
        _ = try session.socket.commit(doomed.count) { position, writer in
            writer.message(MessageType(RTM_SETLINK), [], ifinfomsg(index: doomed[position].index)) { message in
                message.put(IFLA_GROUP, group)
            }
        } failed: { position, error in
            if !error.isAbsence { outcome.fail(doomed[position].change, error.reason) }
        }
        do throws(NetlinkError) {
            // ip link del group GROUP
            try session.socket.modify { writer in
                writer.message(MessageType(RTM_DELLINK), [], ifinfomsg()) { $0.put(IFLA_GROUP, group) }
            }
        } catch {
            // ENODEV: all of them were gone already.
            if !error.isAbsence { for (change, _) in doomed { outcome.fail(change, error.reason) } }
        }
        for (change, _) in doomed where outcome.failures[change] == nil {
            session.remove(links[change].name)
            if let end = links[change].kind.pairEnd { session.remove(end.peer) }
        }
    }

    /// Gives devices of somebody else back of which nobody has noted what they were: no master, no group, the namespace's
    /// defaults.
    private mutating func giveBack(
        _ links: [Link], _ devices: DeviceTable, _ session: Session, _ outcome: inout StepOutcome
    ) throws(NetlinkError) {
        let adopted = links.enumerated().filter { _, link in
            link.kind == .adopted && devices[link.name].map { !$0.isOwned } ?? false
        }
        if adopted.isEmpty { return }
        let defaults = try session.namespace.enter { () throws(NetlinkError) in try LinkDefaults() }
        let proxyDelay = try session.socket.proxyDelays()[0]
        var tasks: [LinkTask] = []
        for (change, link) in adopted {
            guard let device = devices[link.name] else { continue }
            var released = link
            released.master = nil
            released.group = 0
            released.ipv4 = defaults.ipv4
            released.ipv6Disabled = defaults.ipv6Disabled
            released.proxyDelay = proxyDelay ?? link.proxyDelay
            released.isOutside = driver.own != nil
            var settings = released.settingsDiffering(from: link)
            if settings.contains(.namespace) { settings = [.namespace, .isUp] }
            tasks.append(
                LinkTask(change: change, index: device.index, link: released, isNew: false, settings: settings))
        }
        try carryOut(tasks, session, &outcome)
    }
}

/// What a new device of the namespace starts with.
private struct LinkDefaults {
    var ipv4: IPv4DeviceConfiguration
    var ipv6Disabled: Bool?

    init() throws(NetlinkError) {
        ipv4 = IPv4DeviceConfiguration()
        for setting in IPv4DeviceConfiguration.Setting.allCases {
            let value = try ParameterFile.read("net/ipv4/conf/default/\(setting.rawValue)")
            ipv4[setting] = value.flatMap { Int32($0) } ?? 0
        }
        ipv6Disabled = try ParameterFile.read("net/ipv6/conf/default/disable_ipv6").map { $0 != "0" }
    }
}
