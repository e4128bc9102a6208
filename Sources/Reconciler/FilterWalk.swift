import IPAddressing
import KernelModel
import KernelNames
import NFTables

/// A packet of a tunnel, as the machine's own filters meet it.
struct TunnelPacket {
    enum Way: String {
        /// From another host.
        case received
        /// To another host.
        case sent
    }

    /// GRE as a whole, and what the underlay has cut it into.
    enum Part {
        case whole
        case firstFragment
        case laterFragment
    }

    var way: Way
    /// Nil: that of any other host.
    var source: IPAddress?
    var destination: IPAddress?
    /// By which it comes or goes.
    var device: PresentFilters.Device?
    var part = Part.whole
    /// Whether our table keeps it from being tracked; else what filters ask of its connection is not known.
    var isUntracked: Bool

    /// The hooks that it passes. Fragments are put together before they are delivered.
    var hooks: [NFBaseChain.Hook] {
        switch (way, part) {
        case (.received, .whole): [.ingress, .prerouting, .input]
        case (.received, _): [.ingress, .prerouting]
        case (.sent, _): [.output, .postrouting, .egress]
        }
    }
}

/// What becomes of a packet in one base chain, as far as that can be told.
struct FilterOutcome {
    /// It may get past the chain.
    var canPass = false
    /// Where it may be dropped, in the order of the chain.
    var drops: [FilterDrop] = []

    var isCertainDrop: Bool { !canPass && !drops.isEmpty }
}

/// Where a filter drops a packet.
struct FilterDrop: Hashable {
    var table: NFTable
    var chain: String
    /// Nil: it is the chain's policy.
    var handle: UInt64?
    /// The rule as nft(8) would list it.
    var text: String
}

/// Follows a packet through the chains of one table. What cannot be decided (a rate, the time of day, an extension of
/// iptables) both matches and does not.
struct FilterWalk {
    let table: NFObservedTable
    let packet: TunnelPacket
    /// Looks an element up.
    let lookUp: (_ key: NFRegisters, _ register: NFRegister, _ set: String) -> NFLookup

    /// Chains lead into each other at most so deep (NFT_JUMP_STACK_SIZE).
    private static let depth = 16

    func outcome(of chain: NFObservedChain) -> FilterOutcome {
        guard let base = chain.base else { return FilterOutcome(canPass: true) }
        var state = run(chain, hook: base.hook, depth: 0)
        if state.returns {
            if base.policy == .drop {
                let policy = FilterDrop(
                    table: table.table, chain: chain.name, handle: nil, text: "policy drop")
                state.outcome.drops.append(policy)
            } else {
                state.outcome.canPass = true
            }
        }
        return state.outcome
    }

    private struct Progress {
        var outcome = FilterOutcome()
        /// Whether it may come back from the chain without a verdict.
        var returns = false
    }

    private func run(_ chain: NFObservedChain, hook: NFBaseChain.Hook, depth: Int) -> Progress {
        var progress = Progress()
        for rule in chain.rules {
            var reading = RuleReading(walk: self, hook: hook)
            let (truth, effect) = reading.read(rule.rule)
            if truth == .no { continue }
            var goesOn = true
            switch effect {
            case .none: break
            case .accept:
                progress.outcome.canPass = true
                goesOn = false
            case .drop:
                progress.outcome.drops.append(
                    FilterDrop(
                        table: table.table, chain: chain.name, handle: rule.handle, text: FilterText.text(of: rule.rule)
                    ))
                goesOn = false
            case .return:
                progress.returns = true
                goesOn = false
            case .chain(let name, let comesBack):
                guard depth < Self.depth, let next = table.chains.first(where: { $0.name == name }) else {
                    progress.outcome.canPass = true
                    continue
                }
                let inner = run(next, hook: hook, depth: depth + 1)
                progress.outcome.canPass = progress.outcome.canPass || inner.outcome.canPass
                progress.outcome.drops += inner.outcome.drops
                if !comesBack { progress.returns = progress.returns || inner.returns }
                goesOn = comesBack && inner.returns
            }
            if truth == .yes, !goesOn { return progress }
        }
        progress.returns = true
        return progress
    }
}

/// Whether something is so.
enum Truth {
    case yes
    case no
    case unknown

    /// Both.
    func and(_ other: Truth) -> Truth {
        if self == .no || other == .no { return .no }
        return self == .yes && other == .yes ? .yes : .unknown
    }
}

/// Eight bits, of which some are known.
struct KnownBits {
    var value: UInt8 = 0
    /// Which of them.
    var mask: UInt8 = 0

    static let unknown = KnownBits()

    init(_ value: UInt8 = 0, mask: UInt8 = 0) { (self.value, self.mask) = (value & mask, mask) }
    init(_ byte: UInt8) { self.init(byte, mask: 0xFF) }

    var byte: UInt8? { mask == 0xFF ? value : nil }

    /// Whether it cannot be that.
    func differs(from byte: UInt8) -> Bool { value != byte & mask }
}

/// The registers of nf_tables: 64 bytes.
struct NFRegisters {
    private var bytes = [KnownBits](repeating: .unknown, count: 64)

    func bytes(_ register: NFRegister, _ count: Int) -> ArraySlice<KnownBits> {
        let start = Int(register.index) * 4
        return bytes[start..<min(start + count, bytes.count)]
    }

    mutating func set(_ register: NFRegister, _ value: [KnownBits]) {
        for (offset, byte) in value.enumerated() where Int(register.index) * 4 + offset < bytes.count {
            bytes[Int(register.index) * 4 + offset] = byte
        }
    }

    mutating func set(_ register: NFRegister, _ value: [UInt8]) { set(register, value.map { KnownBits($0) }) }

    mutating func forget() { bytes = [KnownBits](repeating: .unknown, count: 64) }

    /// Those from a register on, where all are known.
    func known(_ register: NFRegister, _ count: Int) -> [UInt8]? {
        let known = bytes(register, count).compactMap(\.byte)
        return known.count == count ? known : nil
    }
}

/// Reads one rule for one packet.
private struct RuleReading {
    let walk: FilterWalk
    let hook: NFBaseChain.Hook
    private var registers = NFRegisters()
    private var truth = Truth.yes

    enum Effect {
        case none
        case accept
        case drop
        case `return`
        /// Whether a packet that returns goes on behind the rule.
        case chain(String, comesBack: Bool)

        init(_ verdict: NFVerdict) {
            switch verdict {
            case .accept: self = .accept
            case .drop: self = .drop
            case .continue: self = .none
            case .return: self = .return
            case .jump(let name): self = .chain(name, comesBack: true)
            case .goto(let name): self = .chain(name, comesBack: false)
            }
        }
    }

    init(walk: FilterWalk, hook: NFBaseChain.Hook) {
        self.walk = walk
        self.hook = hook
    }

    mutating func read(_ rule: NFRule) -> (Truth, Effect) {
        for expression in rule.expressions {
            if let effect = step(expression) { return (truth, effect) }
            if truth == .no { return (.no, .none) }
        }
        return (truth, .none)
    }

    /// - Returns: what ends the rule.
    private mutating func step(_ expression: NFExpression) -> Effect? {
        switch expression {
        case .meta(let key, let register): registers.set(register, meta(key))
        case .payload(let payload, let register): load(payload, register)
        case .connection(let key, _, let register): loadConnection(key, register)
        case .compare(let register, let comparison, let value): compare(register, comparison, value)
        case .range(let register, let isNegated, let lower, let upper):
            guard let value = registers.known(register, lower.count) else { return doubt() }
            let isInside = !value.lexicographicallyPrecedes(lower) && !upper.lexicographicallyPrecedes(value)
            require(isInside != isNegated)
        case .bitwise(let from, let into, let mask, let xor):
            let value = zip(registers.bytes(from, mask.count), zip(mask, xor)).map { bits, operands in
                KnownBits(bits.value & operands.0 ^ operands.1, mask: bits.mask | ~operands.0)
            }
            registers.set(into, value)
        case .immediate(let value, let register): registers.set(register, value)
        case .lookup(let set, let key, let into, let isNegated):
            // Of a map what it leads to is not asked for.
            if let into { registers.set(into, Self.nothing) }
            switch walk.lookUp(registers, key, set) {
            case .found: require(!isNegated)
            case .absent: require(isNegated)
            case .unknown: return doubt()
            }
        case .verdictMap(let set, let key):
            switch walk.lookUp(registers, key, set) {
            case .found(let verdict?): return Effect(verdict)
            case .absent: require(false)
            case .found(nil), .unknown: return doubt()
            }
        case .verdict(let verdict): return Effect(verdict)
        // One that is given to another device comes no further here.
        case .reject, .forward: return .drop
        case .translate, .masquerade: return .accept
        case .byteOrder, .hash:
            registers.forget()
        case .limit, .objectMap: return doubt()
        case .counter, .namedCounter, .log, .notrack, .setMeta, .setConnection, .writePayload, .offload: break
        case .unknown(let name, let data): return unknown(name, data)
        }
        return nil
    }

    private mutating func require(_ isSo: Bool) { truth = truth.and(isSo ? .yes : .no) }

    private mutating func doubt() -> Effect? {
        truth = truth.and(.unknown)
        return nil
    }

    private mutating func compare(_ register: NFRegister, _ comparison: NFComparison, _ value: [UInt8]) {
        let present = registers.bytes(register, value.count)
        if let known = registers.known(register, value.count) {
            let isLess = known.lexicographicallyPrecedes(value)
            switch comparison {
            case .equal: require(known == value)
            case .notEqual: require(known != value)
            case .less: require(isLess)
            case .lessOrEqual: require(isLess || known == value)
            case .greater: require(!isLess && known != value)
            case .greaterOrEqual: require(!isLess)
            }
            return
        }
        let differs = zip(present, value).contains { $0.differs(from: $1) }
        switch comparison {
        case .equal where differs: require(false)
        case .notEqual where differs: require(true)
        default: truth = truth.and(.unknown)
        }
    }

    // MARK: The packet

    private func meta(_ key: NFMetaKey) -> [KnownBits] {
        let packet = walk.packet
        let isIncoming = packet.way == .received
        /// There is none on the other side yet, or any more.
        func known(_ bytes: [UInt8]) -> [KnownBits] { bytes.map { KnownBits($0) } }
        func name(isOwn: Bool) -> [KnownBits] {
            if isOwn, packet.device == nil { return Self.nothing }
            let bytes = isOwn ? Array((packet.device?.name.description ?? "").utf8) : []
            return known(bytes + [UInt8](repeating: 0, count: max(0, 16 - bytes.count)))
        }
        func number(_ value: UInt32?) -> [KnownBits] {
            value.map { value in known(withUnsafeBytes(of: value) { Array($0) }) } ?? Self.nothing
        }
        switch key {
        case .l4proto: return known([47])
        case .nfproto: return known([2])
        // ETH_P_IP
        case .protocol: return known([0x08, 0x00])
        case .iifname: return name(isOwn: isIncoming)
        case .oifname: return name(isOwn: !isIncoming)
        case .iif: return number(isIncoming ? packet.device?.index : 0)
        case .oif: return number(isIncoming ? 0 : packet.device?.index)
        case .iifgroup where isIncoming: return number(packet.device?.group)
        case .oifgroup where !isIncoming: return number(packet.device?.group)
        // Marks that the machine's rules give are not followed.
        case .mark: return number(0)
        // PACKET_HOST; what is sent has none yet.
        case .pkttype: return isIncoming ? known([0]) : Self.nothing
        default: return Self.nothing
        }
    }

    /// As long as a register can be asked for.
    private static let nothing = [KnownBits](repeating: .unknown, count: 16)

    private mutating func load(_ payload: NFPayload, _ register: NFRegister) {
        switch payload.base {
        case .link: registers.set(register, [KnownBits](repeating: .unknown, count: Int(payload.length)))
        case .transport:
            // A fragment has no such header but in the first one.
            if walk.packet.part == .laterFragment { return require(false) }
            // No checksum, a key; then IPv4 (RFC 2890).
            registers.set(register, slice([0x20, 0x00, 0x08, 0x00].map { KnownBits($0) }, payload))
        case .network: registers.set(register, slice(header, payload))
        }
    }

    private func slice(_ bytes: [KnownBits], _ payload: NFPayload) -> [KnownBits] {
        (Int(payload.offset)..<Int(payload.offset) + Int(payload.length)).map {
            bytes.indices.contains($0) ? bytes[$0] : .unknown
        }
    }

    /// Of IPv4.
    private var header: [KnownBits] {
        func bytes(_ address: IPAddress?) -> [KnownBits] {
            guard let address else { return [KnownBits](repeating: .unknown, count: 4) }
            return [24, 16, 8, 0].map { KnownBits(UInt8(truncatingIfNeeded: address.low >> UInt64($0))) }
        }
        var header = [KnownBits](repeating: .unknown, count: 12)
        header[0] = KnownBits(0x45)
        header[9] = KnownBits(47)
        switch walk.packet.part {
        // Whether it may be cut on its way is not known.
        case .whole: (header[6], header[7]) = (KnownBits(0, mask: 0xBF), KnownBits(0))
        case .firstFragment: (header[6], header[7]) = (KnownBits(0x20), KnownBits(0))
        // The last one of two, as an underlay of 1,500 bytes makes them: 1,480 bytes were before it.
        case .laterFragment: (header[6], header[7]) = (KnownBits(0), KnownBits(185))
        }
        return header + bytes(walk.packet.source) + bytes(walk.packet.destination)
    }

    private mutating func loadConnection(_ key: NFConnectionKey, _ register: NFRegister) {
        guard walk.packet.isUntracked else {
            return registers.set(register, Self.nothing)
        }
        // Of a packet without a connection there is the state alone.
        if key == .state {
            registers.set(register, withUnsafeBytes(of: NFConnectionState.untracked.rawValue) { Array($0) })
        } else {
            require(false)
        }
    }

    // MARK: What is not known here

    private mutating func unknown(_ name: String, _ data: [UInt8]) -> Effect? {
        switch name {
        case "match":
            truth = truth.and(XTablesExtension(data).truth(isUntracked: walk.packet.isUntracked))
        case "target":
            switch XTablesExtension(data).name {
            case "REJECT": return .drop
            // What lets the packet go on.
            case "LOG", "NFLOG", "MARK", "CONNMARK", "CT", "NOTRACK", "TCPMSS", "DSCP", "TOS", "TTL", "TRACE", "AUDIT":
                return nil
            default: return doubt()
            }
        case "ct" where walk.packet.isUntracked: require(false)
        case "log", "dup", "quota", "counter": return name == "quota" ? doubt() : nil
        default:
            registers.forget()
            return doubt()
        }
        return nil
    }
}

/// A match or target of iptables, as iptables-nft hands it to nf_tables (`NFTA_MATCH_*`, `NFTA_TARGET_*`).
struct XTablesExtension {
    var name = ""
    var revision: UInt32 = 0
    var info: [UInt8] = []

    init(_ data: [UInt8]) {
        var rest = data[...]
        // struct nlattr: length and type, in the machine's order.
        while rest.count >= 4 {
            let start = rest.startIndex
            let length = Int(rest[start]) | Int(rest[start + 1]) << 8
            let type = (Int(rest[start + 2]) | Int(rest[start + 3]) << 8) & 0x3FFF
            guard length >= 4, length <= rest.count else { return }
            let payload = rest[start + 4..<start + length]
            switch type {
            case 1: name = String(decoding: payload.prefix { $0 != 0 }, as: UTF8.self)
            case 2: revision = payload.reduce(0) { $0 << 8 | UInt32($1) }
            case 3: info = Array(payload)
            default: break
            }
            rest = rest.dropFirst((length + 3) & ~3)
        }
    }

    /// Whether a tunnel's packet matches.
    func truth(isUntracked: Bool) -> Truth {
        switch name {
        case "comment": return .yes
        // Of other protocols.
        case "tcp", "udp", "icmp", "sctp", "dccp": return .no
        case "mark": return markTruth
        case "conntrack" where isUntracked && revision >= 2: return connectionTruth
        case "state" where isUntracked: return stateTruth
        default: return .unknown
        }
    }

    private func number(_ offset: Int) -> UInt16? {
        guard info.count >= offset + 2 else { return nil }
        return UInt16(info[offset]) | UInt16(info[offset + 1]) << 8
    }

    /// `struct xt_conntrack_mtinfo3` of linux/netfilter/xt_conntrack.h: which things are asked for, which of them the
    /// other way round, and which states.
    private var connectionTruth: Truth {
        guard let asked = number(146), let inverted = number(148), let states = number(150) else { return .unknown }
        let (state, untracked): (UInt16, UInt16) = (1 << 0, 1 << 8)
        // Where there is no connection nothing else is looked at (conntrack_mt of net/netfilter/xt_conntrack.c).
        if asked & state == 0 { return .no }
        let isMeant = states & untracked != 0
        return isMeant != (inverted & state != 0) ? .yes : .no
    }

    /// `struct xt_mark_mtinfo1`: nobody has marked the packet.
    private var markTruth: Truth {
        guard info.count >= 9 else { return .unknown }
        let isZero = info.prefix(4).allSatisfy { $0 == 0 }
        return isZero == (info[8] == 0) ? .yes : .no
    }

    /// `struct xt_state_info`.
    private var stateTruth: Truth {
        guard let states = number(0) else { return .unknown }
        return states & 1 << 6 != 0 ? .yes : .no
    }
}
