extension FieldType<String> {
    private static let deviceName = "[device name](#names-of-devices)"

    /// The name of a network device.
    static let device = FieldType(deviceName, read: { $0.device($1) }, write: { .string($0) })

    /// The name of a device in a host's own namespace.
    static let ownDevice = FieldType(deviceName, read: { $0.ownDevice($1) }, write: { .string($0) })

    /// The name of a network namespace.
    static let ownNamespace = FieldType("string", read: { $0.netns($1) }, write: { .string($0) })
}

extension DocumentReader {
    /// A device in a host's own namespace, where some names are the controller's.
    mutating func ownDevice(_ node: Int) -> String? {
        guard let text = device(node) else { return nil }
        if !text.hasPrefix("vpc-") { return text }
        report(
            "invalid-device", "\(path(node)): \(text) is the name of a device that the controller makes",
            hint: "name a device that is there without it: on hosts, names that begin with vpc- are its own", at: node)
        return nil
    }

    /// The name of a network device: what the kernel's dev_valid_name (net/core/dev.c) lets pass, and no pattern.
    mutating func device(_ node: Int) -> String? {
        guard let text = string(node) else { return nil }
        // `%` would make the kernel number the device; `all` and `default` are directories beside the devices' sysctls.
        let isValid =
            (1...15).contains(text.utf8.count) && text != "." && text != ".."
            && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != 0xA0 && !"/:%".utf8.contains($0) }
        guard isValid else {
            report(
                "invalid-device", "\(path(node)): \(quoted(short(text))) is not a valid device name",
                hint: "a device name has 1 to 15 bytes without '/', ':', '%' and spaces; to the kernel the byte A0,"
                    + " as in à, is a space", at: node)
            return nil
        }
        guard !Self.takenDevices.contains(text) else {
            report(
                "invalid-device", "\(path(node)): the device name \(text) is taken", hint: "use another name", at: node)
            return nil
        }
        return text
    }

    /// Directories beside the devices' parameters, and devices that the kernel makes in every namespace: `lo`, and with
    /// each kind of tunnel one that it cannot do without.
    private static let takenDevices: Set = [
        "lo", "all", "default", "gre0", "gretap0", "erspan0", "tunl0", "sit0", "ip_vti0", "ip6_vti0", "ip6tnl0",
        "ip6gre0",
    ]

    /// The name of a network namespace: a file below /run/netns. That may have 255 bytes; the mark of a device (its alias)
    /// has as many for this name and those of the interface and its device.
    mutating func netns(_ node: Int) -> String? {
        guard let text = string(node) else { return nil }
        let isValid =
            (1...128).contains(text.utf8.count) && text != "." && text != ".." && !text.hasPrefix("-")
            && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "/") }
        guard isValid else {
            report(
                "invalid-netns", "\(path(node)): \(quoted(short(text))) is not a valid name of a network namespace",
                hint: "it is a file name below /run/netns: 1 to 128 bytes without '/' and spaces", at: node)
            return nil
        }
        return text
    }
}
