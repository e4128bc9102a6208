/// A number made of content that is the same in every process and on every machine, unlike `Hashable`'s.
struct NFDigest {
    private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ word: UInt64) {
        value = (value ^ word) &* 0x100_0000_01B3
        value ^= value >> 29
    }

    mutating func add(_ number: UInt32) { add(UInt64(number)) }

    mutating func add(_ register: NFRegister) { add(UInt64(register.index)) }

    mutating func add(_ register: NFRegister?) { add(register.map { UInt64($0.index) } ?? .max) }

    mutating func add(_ flag: Bool) { add(UInt64(flag ? 1 : 0)) }

    mutating func add(_ bytes: some Sequence<UInt8>) {
        var word: UInt64 = 0
        var count: UInt64 = 0
        for byte in bytes {
            word = word << 8 | UInt64(byte)
            count += 1
            if count % 8 == 0 {
                add(word)
                word = 0
            }
        }
        // Where the bytes end is part of what they are.
        add(word)
        add(count)
    }

    mutating func add(_ text: String) { add(text.utf8) }
}

extension NFRule {
    /// A number of the rule's expressions and comment that is the same in every process.
    ///
    /// It is stored with the rule (`NFTA_RULE_USERDATA`) and tells our rules from those of others in our table.
    public var digest: UInt64 {
        var digest = NFDigest()
        for expression in expressions { expression.add(to: &digest) }
        digest.add(comment ?? "")
        return digest.value
    }
}

extension NFExpression {
    fileprivate func add(to digest: inout NFDigest) {
        switch self {
        case .meta(let key, let register):
            digest.add("meta")
            digest.add(key.rawValue)
            digest.add(register)
        case .setMeta(let key, let register):
            digest.add("meta set")
            digest.add(key.rawValue)
            digest.add(register)
        case .payload(let payload, let register):
            digest.add("payload")
            payload.add(to: &digest)
            digest.add(register)
        case .writePayload(let payload, let register, let checksum):
            digest.add("payload set")
            payload.add(to: &digest)
            digest.add(register)
            digest.add(checksum?.offset ?? .max)
            digest.add(checksum?.coversPseudoHeader ?? false)
        case .connection(let key, let direction, let register):
            digest.add("ct")
            digest.add(key.rawValue)
            digest.add(UInt64(direction?.rawValue ?? .max))
            digest.add(register)
        case .setConnection(let key, let direction, let register):
            digest.add("ct set")
            digest.add(key.rawValue)
            digest.add(UInt64(direction?.rawValue ?? .max))
            digest.add(register)
        case .compare(let register, let comparison, let value):
            digest.add(comparison.rawValue)
            digest.add(register)
            digest.add(value)
        case .range(let register, let isNegated, let lower, let upper):
            digest.add("range")
            digest.add(register)
            digest.add(isNegated)
            digest.add(lower)
            digest.add(upper)
        case .bitwise(let from, let into, let mask, let xor):
            digest.add("bitwise")
            digest.add(from)
            digest.add(into)
            digest.add(mask)
            digest.add(xor)
        case .byteOrder(let from, let into, let toNetwork, let length, let size):
            digest.add("byteorder")
            digest.add(from)
            digest.add(into)
            digest.add(toNetwork)
            digest.add(length)
            digest.add(size)
        case .immediate(let value, let register):
            digest.add("immediate")
            digest.add(value)
            digest.add(register)
        case .lookup(let set, let key, let into, let isNegated):
            digest.add("lookup")
            digest.add(set)
            digest.add(key)
            digest.add(into)
            digest.add(isNegated)
        case .verdictMap(let set, let key):
            digest.add("vmap")
            digest.add(set)
            digest.add(key)
        case .verdict(let verdict): digest.add(verdict.description)
        case .counter: digest.add("counter")
        case .namedCounter(let name):
            digest.add("counter name")
            digest.add(name)
        case .objectMap(let set, let key):
            digest.add("counter map")
            digest.add(set)
            digest.add(key)
        case .notrack: digest.add("notrack")
        case .offload(let flowtable):
            digest.add("offload")
            digest.add(flowtable)
        // Rare, and said in full by their descriptions.
        case .log, .limit, .reject, .translate, .masquerade, .hash, .forward: digest.add(description)
        case .unknown(let name, let bytes):
            digest.add(name)
            digest.add(bytes)
        }
    }
}

extension NFPayload {
    fileprivate func add(to digest: inout NFDigest) {
        digest.add(base.rawValue)
        digest.add(offset)
        digest.add(length)
    }
}
