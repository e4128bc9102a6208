import Foundation
import TestSupport
import Testing
import VPCModel

@testable import VPCManifest

/// What a file is written in, and what stands around its documents.
@Suite(.timeLimit(minutes: 10)) struct EncodingTests {
    private static let mark = "\u{FEFF}"
    private static let one = document("Host", "h1", "spec: {underlay: {address: 172.31.0.1}}") + "\n"
    private static let two = document("Host", "h2", "spec: {underlay: {address: 172.31.0.2}}") + "\n"
    private static let json =
        #"{"apiVersion": "vpcctl.dev/v1", "kind": "Host", "metadata": {"name": "h1"}, "spec": {"underlay": {"address": "172.31.0.1"}}}"#

    /// Between documents a byte order mark means nothing, on whichever side of the line that parts them.
    @Test(arguments: [
        mark + one, mark + mark + one, one + mark, one + "---\n" + mark, mark + json + "\n---\n" + mark,
        mark + one + "---\n" + mark + two, mark + one + "---\n\n" + mark + two, mark + one + mark + "---\n" + two,
        mark + one + "...\n" + mark + two, mark + one + "---\n" + mark + "---\n" + two,
        (mark + one + "---\n" + mark + two).replacingOccurrences(of: "\n", with: "\r\n"),
        (mark + one + "---\n" + mark + two).replacingOccurrences(of: "\n", with: "\r"),
    ]) func aByteOrderMarkBetweenDocumentsIsPassedOver(_ text: String) {
        let set = ManifestSet(text: text)
        #expect(findings(set) == [])
        #expect(set.model.hosts.map(\.metadata.name) == (text.contains("h2") ? ["h1", "h2"] : ["h1"]))
    }

    @Test func whereverALineBeginsAByteOrderMarkIsHarmlessOrOneError() {
        let text = Self.one + "---\n" + Self.two + "---\n" + Self.json + "\n"
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let plain = ManifestSet(text: text.replacingOccurrences(of: "\"h1\"", with: "\"h3\""))
        for number in lines.indices {
            var marked = lines.map(String.init)
            marked[number] = Self.mark + marked[number]
            let set = ManifestSet(
                text: marked.joined(separator: "\n").replacingOccurrences(of: "\"h1\"", with: "\"h3\""))
            if set.isValid {
                #expect(set.model == plain.model)
                let isBetween =
                    number == 0 || lines[number] == "---" || lines[number - 1] == "---" || lines[number].isEmpty
                #expect(isBetween, "line \(number + 1)")
            } else {
                #expect(findings(set) == ["byte-order-mark \(number + 1):1"])
            }
        }
    }

    /// Reading goes on with the next document, whose place is right.
    @Test func theOthersErrorsAreFound() {
        let broken = "apiVersion: vpcctl.dev/v1\nkind: Hots\nmetadata: {name: x}\n"
        let set = ManifestSet(
            text: Self.one + Self.mark + Self.two + "---\n" + broken + "---\n" + Self.mark + broken + Self.mark
                + "kind: Host\n")
        #expect(
            findings(set) == ["byte-order-mark 5:1", "unknown-kind 11:7", "byte-order-mark 17:1"])
    }

    /// Not a mark there, but a character like any other.
    @Test func insideOfALineItIsText() {
        let text = Self.one.replacingOccurrences(of: "name: h1", with: "name: h1, labels: {a: \"x\u{FEFF}\"}")
        #expect(ManifestSet(text: text).model.hosts.first?.metadata.labels == ["a": "x\u{FEFF}"])
        #expect(
            findings(ManifestSet(text: Self.one.replacingOccurrences(of: "h1", with: "h\u{FEFF}1")))
                == ["invalid-name 3:18"])
    }

    @Test(
        arguments: [
            (String.Encoding.utf16, "UTF-16"), (.utf16LittleEndian, "UTF-16"), (.utf16BigEndian, "UTF-16"),
            (.utf32, "UTF-32"), (.utf32LittleEndian, "UTF-32"), (.utf32BigEndian, "UTF-32"),
        ])
    func otherEncodingsAreNamed(_ encoding: String.Encoding, _ name: String) throws {
        for mark in ["", Self.mark] {
            let bytes = Array(try #require((mark + Self.one).data(using: encoding)))
            let set = ManifestSet([ManifestSource(name: "x.yaml", bytes: bytes)])
            #expect(set.diagnostics.map(\.message) == ["x.yaml: the file is \(name), not UTF-8"])
        }
    }

    @Test(arguments: [0, 4, 30, 80]) func aZeroByteIsNoText(_ place: Int) {
        var bytes = Array(Self.one.utf8)
        bytes.insert(0, at: place)
        let set = ManifestSet([ManifestSource(name: "x.yaml", bytes: bytes)])
        #expect(set.diagnostics.map(\.rule) == ["not-utf8"], "\(set.diagnostics)")
    }

    @Test func lineEndsAreAnyOfThree() {
        for lineEnd in ["\r\n", "\r"] {
            let text = (Self.one + "---\n" + Self.two).replacingOccurrences(of: "\n", with: lineEnd)
            #expect(ManifestSet(text: text).model.hosts.count == 2)
        }
    }

    /// The daemon's configuration is read alike.
    @Test func aConfigurationMayBeginWithAByteOrderMark() {
        let text = "apiVersion: vpcctl.dev/v1\nkind: AgentConfiguration\nmanifests: [/etc/vpcctl/manifests]\n"
        let read = { (text: String) in AgentConfiguration.read(ManifestSource(name: "vpcd.yaml", text: text)) }
        #expect(read(Self.mark + text).diagnostics == read(text).diagnostics)
        #expect(read(Self.mark + text).configuration == read(text).configuration)
    }

    /// What is read of a change alone is what reading all of it gives.
    @Test func aChangeBesideAByteOrderMarkIsRead() {
        let before = Array((Self.one + "---\n" + Self.mark + Self.two).utf8)
        let after = Array((Self.one + "---\n" + Self.mark + Self.two.replacingOccurrences(of: "0.2", with: "0.3")).utf8)
        var changes = ResourceChanges()
        var budget = Int.max
        #expect(changes.add(from: before, to: after, budget: &budget))
        let whole = ManifestSet([ManifestSource(name: "x", bytes: after)]).model
        #expect(Array(changes.added.values) == [Resource(whole.hosts[1])])
    }
}
