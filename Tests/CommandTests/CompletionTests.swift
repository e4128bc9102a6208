import Foundation
import TestSupport
import Testing

/// What a shell offers for the next word, asked of a real bash with the script that `vpcctl` writes for it.
@Suite(.timeLimit(minutes: 10)) struct CompletionTests {
    /// - Parameter line: The command line so far; its last word is the one to complete.
    private func completions(_ line: String) throws -> [String] {
        let script = """
            PATH=$1:$PATH
            source <(vpcctl --generate-completion-script bash)
            COMP_LINE=$2 COMP_POINT=${#2}
            read -ra COMP_WORDS <<<"$2"
            if [[ $2 == *' ' ]]; then COMP_WORDS+=(''); fi
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _vpcctl vpcctl "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
            printf '%s\\n' "${COMPREPLY[@]}"
            """
        let run = try Run(["bash", "-O", "extglob", "-c", script, "bash", Run.folder.path(), line])
        #expect(run.error == "")
        return run.output.split(separator: "\n").map(String.init).sorted()
    }

    private let manifest = example("two-tenants.yaml")

    @Test func commandsAndWords() throws {
        #expect(try completions("vpcctl va") == ["validate"])
        #expect(try completions("vpcctl plan -o j") == ["json"])
        #expect(try completions("vpcctl get sub") == ["subnets"])
    }

    @Test func hostsComeFromTheManifests() throws {
        #expect(try completions("vpcctl plan -f \(manifest) --host ") == ["h1", "h2", "h3"])
        #expect(try completions("vpcctl apply --filename \(manifest) -q --host h2") == ["h2"])
    }

    @Test func namesComeFromTheManifests() throws {
        #expect(try completions("vpcctl get -f \(manifest) -q vpc ") == ["blue", "green"])
        #expect(
            try completions("vpcctl trace -f \(manifest) -q blue-web1 blue-web") == [
                "blue-web1", "blue-web2", "blue-web3",
            ])
    }

    @Test func nothingToReadMeansNothingToOffer() throws {
        #expect(try completions("vpcctl plan --host ") == [])
        #expect(try completions("vpcctl plan -f /nowhere.yaml --host ") == [])
        #expect(try completions("vpcctl plan -f - --host ") == [])
    }
}
