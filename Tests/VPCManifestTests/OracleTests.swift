import Foundation
import TestSupport
import Testing
import Yams

@testable import VPCManifest

/// The node trees of all documents, or nil where one cannot be read.
private func trees(_ text: String) -> [Tree]? {
    let bytes = Array(text.utf8)
    return bytes.withUnsafeBufferPointer { bytes -> [Tree]? in
        var reader = YAMLReader(bytes, limits: ManifestLimits(), aliasBudget: .max)
        var nodes = NodeTree()
        var result: [Tree] = []
        do {
            while try reader.readDocument(into: &nodes) { result.append(Tree(nodes, 0)) }
        } catch {
            return nil
        }
        return result
    }
}

/// A document as a value, to compare what two parsers made of a text.
private indirect enum Tree: Hashable, CustomStringConvertible {
    case scalar(String)
    case sequence([Tree])
    case mapping([[Tree]])

    init(_ nodes: NodeTree, _ index: Int) {
        switch nodes[index].kind {
        case .scalar: self = .scalar(nodes.text(index))
        case .sequence: self = .sequence(nodes.elements(of: index).map { Tree(nodes, $0) })
        case .mapping:
            self = .mapping(nodes.keys(of: index).map { [Tree(nodes, $0), Tree(nodes, nodes.next($0))] })
        }
    }

    init(_ node: Node) {
        switch node {
        case .scalar(let scalar): self = .scalar(scalar.string)
        case .sequence(let sequence): self = .sequence(sequence.map { Tree($0) })
        case .mapping(let mapping): self = .mapping(mapping.map { [Tree($0.key), Tree($0.value)] })
        case .alias(let alias): self = .scalar("*\(alias.anchor.rawValue)")
        }
    }

    var description: String {
        switch self {
        case .scalar(let text): "'\(text)'"
        case .sequence(let elements): "[" + elements.map(\.description).joined(separator: ", ") + "]"
        case .mapping(let pairs): "{" + pairs.map { "\($0[0]): \($0[1])" }.joined(separator: ", ") + "}"
        }
    }
}

/// What Yams makes of a text.
private func yamsTrees(_ text: String) throws -> [Tree] {
    var documents = try Yams.compose_all(yaml: text)
    var trees: [Tree] = []
    while let document = documents.next() { trees.append(Tree(document)) }
    // At an error the sequence only ends.
    if let error = documents.error { throw error }
    return trees
}

/// Random YAML in every style.
private struct Author {
    var random: Dice
    var anchors = 0
    /// The last anchor of the documents before this one: Yams would still know them.
    var oldAnchors = 0

    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[number(0...elements.count - 1)] }

    mutating func scalar(isKey: Bool = false) -> String {
        let words = [
            "a", "web1-eth0", "10.0.0.0/16", "101", "true", "~", "x y", "é蓝😀", "a:b", "a#b", "02:00:0a:00:01:0a",
            "0x1f", "1.5",
        ]
        let word = pick(words)
        switch number(0...5) {
        case 0: return "\"" + word + pick(["", "\\n", "\\u00e9", "\\\"", "\\\\", " \\x41"]) + "\""
        case 1: return "'" + word + pick(["", "''", "\"", "\\"]) + "'"
        default: return word
        }
    }

    mutating func flow(_ depth: Int) -> String {
        let space = pick(["", " ", "  "])
        switch depth == 0 ? 0 : number(0...2) {
        case 0: return scalar()
        case 1:
            return "[" + (0..<number(0...3)).map { _ in space + flow(depth - 1) }.joined(separator: ",") + space + "]"
        default:
            return "{" + (0..<number(0...3)).map { "\(space)k\($0): " + flow(depth - 1) }.joined(separator: ",") + space
                + "}"
        }
    }

    /// A node after `key:` or `-`, with what leads to it.
    mutating func block(_ depth: Int, _ indent: Int) -> String {
        let margin = String(repeating: " ", count: indent)
        var anchor = ""
        if number(0...9) == 0 {
            anchors += 1
            anchor = " &a\(anchors)"
        } else if anchors > oldAnchors, number(0...9) == 0 {
            return " *a\(number(oldAnchors + 1...anchors))\n"
        }
        let comment = number(0...9) == 0 ? " # comment: [\n" : "\n"
        switch depth == 0 ? number(0...2) : number(0...5) {
        case 0: return anchor + " " + scalar() + comment
        case 1: return anchor + " " + flow(2) + comment
        case 2:
            return anchor + " " + pick(["|", ">", "|-", ">+"]) + "\n"
                + (0..<number(1...3)).map { "\(margin)  line \($0) \(pick(["", ": x", "# no comment", "é"]))\n" }
                .joined()
        case 3:
            return anchor + comment
                + (0..<number(1...3)).map { _ in "\(margin)-" + block(depth - 1, indent + 2) }.joined()
        default:
            return anchor + comment
                + (0..<number(1...4)).map { "\(margin)key\($0):" + block(depth - 1, indent + 2) }.joined()
        }
    }

    mutating func documents() -> String {
        (0..<number(1...3)).map { _ in
            oldAnchors = anchors
            return "---" + block(4, 0)
        }.joined()
    }
}

/// Yams, another reader on top of libyaml, as the judge of the node trees.
///
/// It brings its own copy of libyaml 0.2.5, which in this test's process also stands in for the system's.
@Suite(.timeLimit(minutes: 10)) struct OracleTests {
    @Test func randomYAMLIsWhatYamsReads() throws {
        var author = Author(random: Dice(seed: 7))
        var read = 0
        for _ in 0..<3000 {
            let text = author.documents()
            guard let expected = try? yamsTrees(text) else {
                // Texts that are no YAML (an alias of an anchor that surrounds it) are compared below.
                continue
            }
            read += 1
            let own = trees(text)
            #expect(own == expected, "\(text)")
        }
        #expect(read > 2500)
    }

    /// Texts with random slips: what one reader takes, the other takes, and reads the same.
    @Test func damagedYAMLIsJudgedAlike() {
        var author = Author(random: Dice(seed: 11))
        let noise = Array("{}[]:,-#&*!|>'\"%@` \n\t?<~ab1\u{85}\u{2028}é")
        var (taken, refused) = (0, 0)
        for _ in 0..<3000 {
            var text = Array(author.documents())
            for _ in 0..<author.number(1...3) {
                let place = author.number(0...text.count - 1)
                switch author.number(0...2) {
                case 0: text[place] = author.pick(noise)
                case 1: text.insert(author.pick(noise), at: place)
                default: if text.count > 1 { text.remove(at: place) }
                }
            }
            let own = trees(String(text))
            do {
                let expected = try yamsTrees(String(text))
                // Tags are refused here and mean something there.
                if let own {
                    taken += 1
                    #expect(own == expected, "\(String(text))")
                } else {
                    #expect(String(text).contains("!"), "only Yams reads \(String(text))")
                }
            } catch let error as YamlError {
                refused += 1
                if case .duplicatedKeysInMapping = error { continue }
                #expect(own == nil, "Yams: \(error) in \(String(text))")
            } catch {
                Issue.record(error)
            }
        }
        #expect(taken > 500 && refused > 500)
    }

    @Test func jsonOfFoundationIsReadAsItIs() throws {
        var author = Author(random: Dice(seed: 13))
        /// A value for the writer, and what is to be read.
        func value(_ depth: Int) -> (Any, Tree) {
            switch author.number(0...(depth == 0 ? 3 : 6)) {
            case 0:
                let number = author.number(-1_000_000...1_000_000)
                return (number, .scalar(String(number)))
            case 1: return author.number(0...1) == 1 ? (true, .scalar("true")) : (false, .scalar("false"))
            case 2: return (NSNull(), .scalar("null"))
            case 3:
                let text = author.scalar() + author.pick(["\u{1}", "/", "\u{2028}", "\"\\", "\n\r\t", "😀"])
                return (text, .scalar(text))
            case 4:
                let elements = (0..<author.number(0...4)).map { _ in value(depth - 1) }
                return (elements.map(\.0), .sequence(elements.map(\.1)))
            default:
                let members = (0..<author.number(0...4)).map { ("k\($0)" + author.scalar(), value(depth - 1)) }
                return (
                    Dictionary(uniqueKeysWithValues: members.map { ($0, $1.0) }),
                    .mapping(members.map { [.scalar($0), $1.1] })
                )
            }
        }
        func sorted(_ tree: Tree) -> Tree {
            switch tree {
            case .scalar: tree
            case .sequence(let elements): .sequence(elements.map(sorted))
            case .mapping(let pairs):
                .mapping(pairs.map { $0.map(sorted) }.sorted { $0[0].description < $1[0].description })
            }
        }
        for _ in 0..<1000 {
            let (object, expected) = value(4)
            for options: JSONSerialization.WritingOptions in [[], [.prettyPrinted, .withoutEscapingSlashes]] {
                let data = try JSONSerialization.data(withJSONObject: object, options: options.union(.fragmentsAllowed))
                let text = String(decoding: data, as: UTF8.self)
                #expect(trees(text).map { $0.map(sorted) } == [sorted(expected)], "\(text)")
            }
        }
    }
}
