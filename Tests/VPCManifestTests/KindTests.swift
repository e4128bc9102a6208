import Testing
import VPCModel

@testable import VPCManifest

/// What holds of every kind, whatever it is.
@Suite(.timeLimit(minutes: 10)) struct KindTests {
    @Test func kindsAreNumberedInTheirOrder() {
        #expect(ResourceKind.allCases.map(\.ordinal) == Array(ResourceKind.allCases.indices))
        #expect(ResourceKind.allCases.count < ResourceKind.limit)
        #expect(ResourceKind.allCases.sorted() == ResourceKind.allCases)
        #expect(ResourceKind.host.ordinal == 0)
        #expect(ResourceKind.networkACL.rawValue == "NetworkACL")
    }

    @Test func everyWordMeansOneKind() {
        let words = ResourceKind.allCases.flatMap { kind in
            [kind.rawValue.lowercased(), kind.names.plural] + kind.names.short
        }
        #expect(Set(words).count == words.count)
        #expect(!words.contains("all"))
        for kind in ResourceKind.allCases {
            #expect(ResourceKind(rawValue: kind.rawValue) == kind)
            #expect(ResourceKind(word: kind.names.plural.uppercased()) == kind)
            for word in kind.names.short {
                #expect(ResourceKind(word: word, takesShort: true) == kind)
                #expect(ResourceKind(word: word) == nil)
            }
        }
    }

    /// A table holds what is put into it, in its order, and no other has it.
    @Test func aModelKeepsKindsApart() {
        var model = Model()
        model.vpcs.append(VPC(metadata: Metadata(name: "a"), id: .lowest, cidrs: []))
        model.append(Resource(VPC(metadata: Metadata(name: "b"), id: .lowest, cidrs: [])))
        model.append(Resource(SecurityGroup(metadata: Metadata(name: "c"), vpc: "a")))
        #expect(model[VPC.self].map(\.metadata.name) == ["a", "b"])
        #expect(model.names(of: .securityGroup) == ["c"])
        #expect(model.count == 3)
        #expect(model.resources.map(\.reference.description) == ["VPC/a", "VPC/b", "SecurityGroup/c"])
        #expect(Model(model.resources) == model)
        var other = model
        other.vpcs[1].metadata.name = "d"
        #expect(other != model)
        #expect(model.vpcs[1].metadata.name == "b")
    }

    // MARK: Fields

    private struct Box: Equatable {
        var numbers: [Int] = []
        var choice = Choice.small(0)

        enum Choice: Equatable {
            case small(Int)
            case large(String)
            case none
        }
    }

    /// More fields than one would like to count, read by name and from merged mappings.
    @Test func aMappingMayHaveAnyNumberOfFields() {
        let count = 100
        let list = FieldList<Box>(
            (0..<count).map { number in
                Field(
                    ["field\(number)"], [],
                    read: { reader, nodes, box in
                        guard let node = reader.optional(nodes, 0) else { return }
                        if let value = reader.integer(node, in: 0...1000) { box.numbers.append(value) }
                    }, write: { _, _ in })
            })
        let text = (0..<count).map { "field\($0): \($0)\n" }.shuffled()
        let merged = text.prefix(50).map { "  " + $0 }.joined()
        #expect(read("<<:\n" + merged + text.dropFirst(50).joined(), list).box.numbers == Array(0..<count))
        #expect(read("field1: 1\nfield1: 2\n", list).rules == ["duplicate-key"])
        #expect(read("field_1: 1\n", list).rules == ["unknown-field"])
    }

    /// Names are told apart by every byte and their length.
    @Test(arguments: ["\\0name", "nam", "namee", "\\0\\0\\0\\0name", "longer-than-eight1", "longer-than-eight"])
    func aKeyIsTheWholeName(_ key: String) {
        let list = FieldList<Box>([
            Field(
                ["name", "longer-than-eight2"], [], read: { _, _, box in box.numbers.append(1) }, write: { _, _ in })
        ])
        #expect(read("{\"\(key)\": 1}", list).rules == ["unknown-field"])
        #expect(read("{name: 1, longer-than-eight2: 2}", list).rules == [])
    }

    private static let union = FieldList<Box>([
        .oneOf(
            \.choice, missing: "holds nothing", severalHint: "remove one",
            [
                UnionCase(
                    "small", .integer(in: 0...9), make: { .small($0) },
                    value: { if case .small(let value) = $0 { value } else { nil } }),
                UnionCase(
                    "large", .string, make: { .large($0) },
                    value: { if case .large(let value) = $0 { value } else { nil } }),
                UnionCase(
                    "none", .boolean, make: { _ in .none }, value: { $0 == .none ? true : nil }),
            ])
    ])

    @Test func aUnionIsExactlyOne() {
        #expect(read("{large: a}", Self.union).box.choice == .large("a"))
        #expect(read("{large: null, small: 7}", Self.union).box.choice == .small(7))
        #expect(read("{}", Self.union).messages == ["the document holds nothing"])
        #expect(
            read("{none: true, small: 1, large: a}", Self.union).messages == [
                "the document has both small and large and none"
            ])
        #expect(read("{lage: a}", Self.union).rules == ["unknown-field"])
        #expect(Self.union.members(of: Box(choice: .large("x"))).map(\.name) == ["large"])
    }

    private func read(_ text: String, _ list: FieldList<Box>) -> (box: Box, rules: [String], messages: [String]) {
        var loader = ManifestLoader(limits: ManifestLimits())
        var box = Box()
        loader.loadSingle(ManifestSource(name: "x", text: text)) { _ = list.read(&$0, 0, into: &box) }
        let found = loader.findings.map(\.diagnostic)
        return (box, found.map(\.rule), found.map(\.message))
    }
}
