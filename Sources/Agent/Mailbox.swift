import Glibc
import Synchronization
import Traffic

/// Work handed to a thread that waits in poll(2).
final class Mailbox<Message: Sendable>: Sendable {
    private let bell: Bell
    private let messages = Mutex<[Message]?>([])

    init() throws(AgentError) {
        do { bell = try Bell() } catch { throw .system("pipe") }
    }

    /// Readable when there is something.
    var fileDescriptor: Int32 { bell.descriptor }

    /// - Returns: False where nobody takes anything any more.
    func post(_ message: Message) -> Bool {
        let isTaken = messages.withLock { messages -> Bool in
            messages?.append(message)
            return messages != nil
        }
        bell.ring()
        return isTaken
    }

    func take() -> [Message] {
        bell.hush()
        return messages.withLock { messages in
            defer { if messages != nil { messages = [] } }
            return messages ?? []
        }
    }

    /// Takes what is left; nothing is taken afterwards.
    func close() -> [Message] {
        messages.withLock { messages in
            defer { messages = nil }
            return messages ?? []
        }
    }
}
