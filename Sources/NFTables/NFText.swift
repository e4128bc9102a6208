private import IPAddressing
import KernelNames

extension NFType {
    /// The types that a number stands for; nil when one of them is not known here.
    static func types(of code: UInt32, length: Int) -> [NFType]? {
        if code == NFType.zone.code, length == NFType.zone.width { return [.zone] }
        var code = code
        var types: [NFType] = []
        while code != 0 {
            let last = code & (1 << codeBits - 1)
            guard let type = allCases.first(where: { $0.code == last }) else { return nil }
            types.insert(type, at: 0)
            code >>= codeBits
        }
        return types
    }

    /// A value in nft(8)'s spelling, numbers for what has names.
    func text(_ slots: ArraySlice<UInt32>) -> String {
        let words = slots.map { UInt32(bigEndian: $0) }
        let number = words[0] >> UInt32(max(0, 32 - 8 * width))
        switch self {
        case .ipv4Address: return IPAddress(v4: number).description
        case .ipv6Address:
            return IPAddress(
                family: .ipv6, high: UInt64(words[0]) << 32 | UInt64(words[1]),
                low: UInt64(words[2]) << 32 | UInt64(words[3])
            ).description
        case .etherAddress:
            return MACAddress(rawValue: UInt64(words[0]) << 16 | UInt64(words[1] >> 16)).description
        case .interfaceName:
            let bytes = words.flatMap { word in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> UInt32($0)) } }
            return "\"\(InterfaceName(bytes: bytes))\""
        case .connectionDirection: return number == 0 ? "original" : number == 1 ? "reply" : String(number)
        case .mark: return "0x" + String(hostNumber(slots), radix: 16)
        case .zone, .interfaceIndex, .interfaceGroup, .connectionState, .connectionStatus:
            return String(hostNumber(slots))
        case .etherType, .arpOperation, .internetProtocol, .internetService, .icmpType, .icmpv6Type:
            return String(number)
        }
    }

    private func hostNumber(_ slots: ArraySlice<UInt32>) -> UInt32 {
        let slot = slots[slots.startIndex]
        return UInt32(1).littleEndian == 1 ? slot : slot >> UInt32(32 - 8 * width)
    }
}

extension NFSetShape {
    /// The values in `slots` one behind the other: `10.0.1.2 . 6 . 80`.
    private static func text(_ code: UInt32, _ length: Int, _ slots: ArraySlice<UInt32>, to upper: ArraySlice<UInt32>)
        -> String
    {
        guard let types = NFType.types(of: code, length: length), types.reduce(0, { $0 + $1.slots }) == slots.count
        else {
            return slots.map { "0x" + String(UInt32(bigEndian: $0), radix: 16) }.joined(separator: " ")
        }
        var position = 0
        var fields: [String] = []
        for type in types {
            let range = position..<position + type.slots
            let lower = type.text(slots[slots.startIndex + range.lowerBound..<slots.startIndex + range.upperBound])
            let last = type.text(upper[upper.startIndex + range.lowerBound..<upper.startIndex + range.upperBound])
            fields.append(lower == last ? lower : "\(lower)-\(last)")
            position = range.upperBound
        }
        return fields.joined(separator: " . ")
    }

    /// An element in nft(8)'s spelling: `10.0.1.0-10.0.1.255 . 6 . 80 : goto deny`.
    package func text(of index: Int, in elements: NFElements) -> String {
        let layout = elements.layout
        let start = index * layout.stride
        let lower = elements.slots[start..<start + layout.keySlots]
        let upper = layout.hasUpper ? elements.slots[start + layout.keySlots..<start + layout.keyStride] : lower
        var text = Self.text(keyCode, keyLength, lower, to: upper)
        if let comment = elements.comments[index] { text += " comment \"\(comment)\"" }
        if case .value(let code, let length) = data {
            let value = elements.slots[start + layout.keyStride..<start + layout.stride]
            text += " : " + Self.text(code, length, value, to: value)
        }
        if !elements.verdicts.isEmpty { text += " : \(elements.verdicts[index])" }
        if !elements.objects.isEmpty { text += " : \"\(elements.objects[index])\"" }
        return text
    }
}
