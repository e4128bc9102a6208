import IPAddressing
import NFTables

/// A rule of somebody else's in nft(8)'s words, as far as they are needed to find it there.
enum FilterText {
    static func text(of rule: NFRule) -> String {
        var words: [String] = []
        // What the registers hold, by number.
        var fields: [UInt8: Field] = [:]
        for expression in rule.expressions {
            switch expression {
            case .meta(let key, let register): fields[register.index] = Field(key)
            case .payload(let payload, let register): fields[register.index] = Field(payload)
            case .connection(let key, _, let register): fields[register.index] = Field("ct \(key.rawValue)", .state)
            case .bitwise(let from, let into, let mask, _): fields[into.index] = fields[from.index]?.masked(by: mask)
            case .compare(let register, let comparison, let value):
                words.append((fields[register.index] ?? Field("\(register)", .number)).text(comparison, value))
            case .range(let register, let isNegated, let lower, let upper):
                let field = fields[register.index] ?? Field("\(register)", .number)
                words.append("\(field.name) \(isNegated ? "!= " : "")\(field.value(lower))-\(field.value(upper))")
            case .lookup(let set, let key, _, let isNegated):
                words.append("\(fields[key.index]?.name ?? "\(key)") \(isNegated ? "!= " : "")\(name(of: set))")
            case .verdictMap(let set, let key):
                words.append("\(fields[key.index]?.name ?? "\(key)") vmap \(name(of: set))")
            case .unknown(let name, let data) where name == "match" || name == "target":
                words.append("xt \(name) \"\(XTablesExtension(data).name)\"")
            case .unknown(let name, _): words.append(name)
            case .immediate, .byteOrder, .hash: break
            default: words.append("\(expression)")
            }
        }
        if let comment = rule.comment { words.append("comment \"\(comment)\"") }
        return words.joined(separator: " ")
    }

    /// Of a set without a name, which nft(8) writes as what is in it.
    private static func name(of set: String) -> String { set.hasPrefix("__") ? "{ … }" : "@\(set)" }

    private struct Field {
        enum Kind {
            case number
            case text
            case address
            case ipProtocol
            case state
        }

        var name: String
        var kind: Kind
        var mask: [UInt8]?

        init(_ name: String, _ kind: Kind) {
            self.name = name
            self.kind = kind
        }

        init(_ key: NFMetaKey) {
            switch key {
            case .iifname, .oifname: self.init(key.rawValue, .text)
            case .iif, .oif: self.init(key.rawValue, .number)
            case .l4proto: self.init("meta l4proto", .ipProtocol)
            default: self.init("meta \(key.rawValue)", .number)
            }
        }

        init(_ payload: NFPayload) {
            switch (payload.base, payload.offset, payload.length) {
            case (.network, 6, 2): self.init("ip frag-off", .number)
            case (.network, 9, 1): self.init("ip protocol", .ipProtocol)
            case (.network, 12, 1...4): self.init("ip saddr", .address)
            case (.network, 16, 1...4): self.init("ip daddr", .address)
            case (.transport, 0, 2): self.init("th sport", .number)
            case (.transport, 2, 2): self.init("th dport", .number)
            default: self.init("\(payload)", .number)
            }
        }

        func masked(by mask: [UInt8]) -> Field {
            var field = self
            field.mask = mask
            return field
        }

        func text(_ comparison: NFComparison, _ value: [UInt8]) -> String {
            if kind == .state, let mask {
                let states = Self.states.filter { Self.number(mask) & $0.bit != 0 }.map(\.name)
                return "\(name) \(comparison == .equal ? "!= " : "")\(states.joined(separator: ","))"
            }
            let sign = comparison == .equal ? "" : "\(comparison.rawValue) "
            var length = ""
            if kind == .address {
                let bits = mask.map { $0.reduce(0) { $0 + $1.nonzeroBitCount } } ?? value.count * 8
                if bits < 32 { length = "/\(bits)" }
            } else if let mask {
                return "\(name) & 0x\(Self.hex(mask)) \(comparison.rawValue) 0x\(Self.hex(value))"
            }
            return "\(name) \(sign)\(self.value(value))\(length)"
        }

        func value(_ bytes: [UInt8]) -> String {
            switch kind {
            case .text:
                let text = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                // A beginning of a name has no end.
                return "\"\(text)\(bytes.contains(0) || bytes.count == 16 ? "" : "*")\""
            case .address:
                let padded = bytes + [UInt8](repeating: 0, count: max(0, 4 - bytes.count))
                return "\(IPAddress(v4: padded.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }))"
            case .ipProtocol: return Self.protocols[bytes.first ?? 0] ?? "\(bytes.first ?? 0)"
            case .state: return Self.hex(bytes)
            case .number: return bytes.count <= 2 ? "\(bytes.reduce(0) { $0 << 8 | Int($1) })" : "0x\(Self.hex(bytes))"
            }
        }

        private static let protocols: [UInt8: String] = [
            1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 132: "sctp",
        ]
        private static let states: [(name: String, bit: UInt32)] = [
            ("invalid", 1), ("established", 2), ("related", 4), ("new", 8), ("untracked", 64),
        ]

        private static func hex(_ bytes: [UInt8]) -> String {
            bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }

        /// In the machine's order.
        private static func number(_ bytes: [UInt8]) -> UInt32 {
            bytes.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }
    }
}
