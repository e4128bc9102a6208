internal import VPCModel

/// A field of a mapping, or several that are read and written together.
struct Field<Object>: Sendable {
    /// As the mapping spells them.
    let names: [String]
    /// Of those that the manual lists with the mapping.
    let descriptions: [FieldDescription]
    /// Reads the values; the nodes are those of the names.
    let read: @Sendable (inout DocumentReader, FieldNodes, inout Object) -> Void
    /// Appends what is to be written; a field that has its default is left out.
    let write: @Sendable (Object, inout [StructuredValue.Member]) -> Void

    init(
        _ names: [String], _ descriptions: [FieldDescription],
        read: @escaping @Sendable (inout DocumentReader, FieldNodes, inout Object) -> Void,
        write: @escaping @Sendable (Object, inout [StructuredValue.Member]) -> Void
    ) {
        self.names = names
        self.descriptions = descriptions
        self.read = read
        self.write = write
    }

    /// A field that has to be there.
    /// - Parameter about: Constraints and meaning, for the manual.
    static func required<Value>(
        _ name: String, _ path: any WritableKeyPath<Object, Value> & Sendable, _ type: FieldType<Value>,
        _ about: String = ""
    ) -> Field {
        Field(
            [name], [FieldDescription(name, type, "required", about)],
            read: { reader, nodes, object in
                guard let node = reader.required(nodes, 0, name), let value = type.read(&reader, node) else { return }
                object[keyPath: path] = value
            },
            write: { object, members in
                members.append(StructuredValue.Member(name, type.write(object[keyPath: path])))
            })
    }

    /// A field without which there is no value.
    /// - Parameter absent: What holds then, for the manual.
    static func optional<Value>(
        _ name: String, _ path: any WritableKeyPath<Object, Value?> & Sendable, _ type: FieldType<Value>,
        absent: String = "none", _ about: String = ""
    ) -> Field {
        Field(
            [name], [FieldDescription(name, type, absent, about)],
            read: { reader, nodes, object in
                guard let node = reader.optional(nodes, 0), let value = type.read(&reader, node) else { return }
                object[keyPath: path] = value
            },
            write: { object, members in
                guard let value = object[keyPath: path] else { return }
                members.append(StructuredValue.Member(name, type.write(value)))
            })
    }

    /// A field without which the value is a default, that which the blank object has.
    /// - Parameters:
    ///   - absent: What the manual says of the default where its own words do not do.
    ///   - isAlwaysWritten: Also where it has the default.
    static func optional<Value: Equatable & Sendable>(
        _ name: String, _ path: any WritableKeyPath<Object, Value> & Sendable, _ type: FieldType<Value>,
        default standard: Value, absent: String? = nil, isAlwaysWritten: Bool = false, _ about: String = ""
    ) -> Field {
        Field(
            [name], [FieldDescription(name, type, absent ?? "\(standard)", about)],
            read: { reader, nodes, object in
                object[keyPath: path] = reader.optional(nodes, 0).flatMap { type.read(&reader, $0) } ?? standard
            },
            write: { object, members in
                let value = object[keyPath: path]
                guard isAlwaysWritten || value != standard else { return }
                members.append(StructuredValue.Member(name, type.write(value)))
            })
    }

    /// A mapping that has to be there, and whose fields are properties of the object itself.
    static func required(_ name: String, _ fields: FieldList<Object>, _ about: String = "") -> Field {
        Field(
            [name], [FieldDescription(name, "mapping", "required", about, fields.descriptions)],
            read: { reader, nodes, object in
                guard let node = reader.required(nodes, 0, name) else { return }
                _ = fields.read(&reader, node, into: &object)
            },
            write: { object, members in
                members.append(StructuredValue.Member(name, .object(fields.members(of: object))))
            })
    }
}

// MARK: - Unions

/// One of the fields of which a mapping has exactly one.
struct UnionCase<Union>: Sendable {
    let name: String
    let description: FieldDescription
    let read: @Sendable (inout DocumentReader, Int) -> Union?
    /// Nil where the union is another case.
    let write: @Sendable (Union) -> StructuredValue?

    init<Value>(
        _ name: String, _ type: FieldType<Value>, make: @escaping @Sendable (Value) -> Union,
        value: @escaping @Sendable (Union) -> Value?, _ about: String = ""
    ) {
        self.name = name
        description = FieldDescription(name, type, "", about)
        read = { type.read(&$0, $1).map(make) }
        write = { value($0).map(type.write) }
    }
}

extension Field {
    /// Fields of which a mapping has exactly one.
    /// - Parameters:
    ///   - missing: What is wrong where it has none of them, behind the mapping's path: `names no far end`.
    ///   - severalHint: What to do where it has several.
    static func oneOf<Union>(
        _ path: any WritableKeyPath<Object, Union> & Sendable, missing: String, severalHint: String,
        _ cases: [UnionCase<Union>]
    ) -> Field {
        let names = cases.map(\.name)
        return Field(
            names, cases.map(\.description),
            read: { reader, nodes, object in
                let present = names.indices.filter { reader.optional(nodes, $0) != nil }
                guard let first = present.first, let node = reader.optional(nodes, first) else {
                    // A misspelt one has been reported.
                    if names.indices.contains(where: { reader.isMisspelt(nodes, $0) }) { return }
                    reader.report(
                        "missing-field", "\(reader.path(nodes.mapping)) \(missing)",
                        hint: "add \(alternatives(names))", at: nodes.mapping)
                    return
                }
                guard present.count == 1 else {
                    reader.report(
                        "conflicting-fields",
                        "\(reader.path(nodes.mapping)) has both \(present.map { names[$0] }.joined(separator: " and "))",
                        hint: severalHint, at: present.compactMap { reader.optional(nodes, $0) }.max() ?? node)
                    return
                }
                guard let value = cases[first].read(&reader, node) else { return }
                object[keyPath: path] = value
            },
            write: { object, members in
                for union in cases {
                    guard let value = union.write(object[keyPath: path]) else { continue }
                    members.append(StructuredValue.Member(union.name, value))
                }
            })
    }
}
